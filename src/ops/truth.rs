//! Questions about whole tensors, and elements held against each other: made of comparisons and sums.
//!
//! <https://pytorch.org/docs/stable/torch.html#comparison-ops>

use super::methods;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The arguments of [`Tensor::isclose_with`] and [`Tensor::allclose_with`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct CloseOptions {
    /// The part of the other element's magnitude that is allowed (1e-5).
    pub rtol: f64,
    /// What is allowed besides (1e-8).
    pub atol: f64,
    /// Whether two NaN are close (false).
    pub equal_nan: bool,
}

impl Default for CloseOptions {
    fn default() -> Self {
        CloseOptions { rtol: 1e-5, atol: 1e-8, equal_nan: false }
    }
}

/// Adds up truth values: of all elements, or along a dim.
fn number(truths: &Tensor, dim: Option<(i64, bool)>) -> Result<Tensor> {
    match dim {
        Some((dim, keepdim)) => truths.try_sum_dims(&[dim], keepdim),
        None => truths.try_sum(),
    }
}

methods! {
    /// Whether any element is not 0, as a truth value without dims. NaN is not 0.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, -2.0], &[2]);
    /// assert!(x.lt_scalar(0.0).any().item::<bool>()?);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn any / try_any (&self) -> Tensor {
        number(&self.try_ne_scalar(0.0)?, None)?.try_gt_scalar(0.0)
    }

    /// [`Self::any`] along a dim.
    pub fn any_dim / try_any_dim (&self, dim: i64, keepdim: bool) -> Tensor {
        number(&self.try_ne_scalar(0.0)?, Some((dim, keepdim)))?.try_gt_scalar(0.0)
    }

    /// Whether all elements are not 0, as a truth value without dims.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, f32::INFINITY], &[2]);
    /// assert!(!x.isfinite().all().item::<bool>()?);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn all / try_all (&self) -> Tensor {
        number(&self.try_eq_scalar(0.0)?, None)?.try_eq_scalar(0.0)
    }

    /// [`Self::all`] along a dim.
    pub fn all_dim / try_all_dim (&self, dim: i64, keepdim: bool) -> Tensor {
        number(&self.try_eq_scalar(0.0)?, Some((dim, keepdim)))?.try_eq_scalar(0.0)
    }

    /// How many elements are not 0 (i32), of all or along a dim.
    pub fn count_nonzero / try_count_nonzero (&self, dim: Option<i64>) -> Tensor {
        number(&self.try_ne_scalar(0.0)?, dim.map(|dim| (dim, false)))
    }

    /// Where elements are neither infinite nor NaN.
    pub fn isfinite / try_isfinite (&self) -> Tensor {
        self.try_isinf()?.try_logical_or(&self.try_isnan()?)?.try_logical_not()
    }

    /// Where each element is within 1e-5 of the magnitude of `other`'s, broadcast, and 1e-8: [`Self::isclose_with`] with
    /// PyTorch's defaults.
    pub fn isclose / try_isclose (&self, other: &Tensor) -> Tensor {
        self.try_isclose_with(other, &CloseOptions::default())
    }

    /// Where `|x − y| ≤ atol + rtol·|y|`. Infinities are close to themselves alone. Other types are compared as f32.
    ///
    /// # Panics
    /// When the shapes can't be broadcast, or a tolerance is negative.
    pub fn isclose_with / try_isclose_with (&self, other: &Tensor, options: &CloseOptions) -> Tensor {
        let CloseOptions { rtol, atol, .. } = *options;
        if [rtol, atol].iter().any(|x| x.is_nan() || *x < 0.0) {
            let detail = format!("tolerances must not be negative; rtol is {rtol} and atol is {atol}");
            return Err(Error::argument("isclose", detail));
        }
        let (x, y) = (self.detach().try_float()?, other.detach().try_float()?);
        let mut close = x.try_eq(&y)?;
        if options.equal_nan {
            close = close.try_logical_or(&x.try_isnan()?.try_logical_and(&y.try_isnan()?)?)?;
        }
        let distance = x.try_sub(&y)?.try_abs()?;
        let allowed = y.try_abs()?.try_mul_scalar(rtol)?.try_add_scalar(atol)?;
        let near = distance.try_isfinite()?.try_logical_and(&distance.try_le(&allowed)?)?;
        close.try_logical_or(&near)
    }
}

/// Answers, which wait for the device.
impl Tensor {
    /// Whether all elements are close to those of `other`, broadcast: [`Tensor::allclose_with`] with PyTorch's defaults.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 1000.0], &[2]);
    /// assert!(x.allclose(&(&x * 1.000001))?);
    /// assert!(!x.allclose(&(&x + 0.1))?);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the shapes can't be broadcast, or the device fails.
    #[track_caller]
    pub fn allclose(&self, other: &Tensor) -> Result<bool> {
        self.allclose_with(other, &CloseOptions::default())
    }

    /// Whether [`Tensor::isclose_with`] holds everywhere.
    ///
    /// # Errors
    /// As [`Tensor::allclose`], and when a tolerance is negative.
    #[track_caller]
    pub fn allclose_with(&self, other: &Tensor, options: &CloseOptions) -> Result<bool> {
        self.try_isclose_with(other, options)?.try_all()?.item()
    }

    /// Whether both tensors have one shape and the same elements. NaN equals nothing.
    ///
    /// # Errors
    /// When the types or devices differ, or the device fails.
    #[track_caller]
    pub fn equal(&self, other: &Tensor) -> Result<bool> {
        Ok(self.shape() == other.shape() && self.try_eq(other)?.try_all()?.item()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Device;

    #[test]
    fn empty_tensors_have_all_and_not_any() -> Result<()> {
        Device::reference().scope(|| {
            let x = Tensor::zeros(&[0, 3]);
            assert!(x.all().item::<bool>()? && !x.any().item::<bool>()?);
            assert_eq!(x.any_dim(0, false).to_vec::<bool>()?, [false; 3]);
            Ok(())
        })
    }

    #[test]
    fn nan_is_not_zero_and_is_counted() -> Result<()> {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[f32::NAN, 0.0, 3.0, -0.0], &[2, 2]);
            assert!(x.any().item::<bool>()? && !x.all().item::<bool>()?);
            assert_eq!(x.all_dim(1, true).to_vec::<bool>()?, [false, false]);
            assert_eq!(x.count_nonzero(None).item::<i32>()?, 2);
            assert_eq!(x.count_nonzero(Some(0)).to_vec::<i32>()?, [2, 0]);
            Ok(())
        })
    }

    #[test]
    fn infinities_and_nan_are_close_as_in_pytorch() -> Result<()> {
        Device::reference().scope(|| {
            let inf = f32::INFINITY;
            let x = Tensor::from_slice(&[inf, inf, inf, f32::NAN, 1.0, 1e6], &[6]);
            let y = Tensor::from_slice(&[inf, -inf, 1.0, f32::NAN, 1.00002, 1e6 + 5.0], &[6]);
            assert_eq!(x.isclose(&y).to_vec::<bool>()?, [true, false, false, false, false, true]);
            let options = CloseOptions { rtol: 1e-4, equal_nan: true, ..Default::default() };
            assert_eq!(x.isclose_with(&y, &options).to_vec::<bool>()?, [true, false, false, true, true, true]);
            let negative = CloseOptions { atol: -1.0, ..Default::default() };
            assert!(x.allclose_with(&y, &negative).unwrap_err().to_string().contains("atol is -1"));
            assert!(!x.equal(&x)? && x.i(4..).equal(&x.i(4..))? && !x.equal(&x.i(4..))?);
            Ok(())
        })
    }
}
