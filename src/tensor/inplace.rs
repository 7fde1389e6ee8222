//! Changing a tensor's elements where they are.

use super::{Tensor, Value};
use crate::autograd::{is_grad_enabled, no_grad};
use crate::ops::{self, Attrs, apply};
use crate::{Error, Result, RoundingMode};

impl Tensor {
    /// Whether one element of the storage may show in several places, as after `expand` or `unfold`.
    fn overlaps(&self) -> bool {
        let dims = self.shape().iter().zip(self.strides()).filter(|(size, _)| **size > 1);
        let mut dims: Vec<(usize, usize)> = dims.map(|(&size, &stride)| (stride, size)).collect();
        dims.sort_unstable();
        // Each dim steps over all that the smaller ones reach.
        let mut reach = 0;
        self.numel() > 0
            && dims.into_iter().any(|(stride, size)| {
                let inside = stride <= reach;
                reach += stride * (size - 1);
                inside
            })
    }

    /// Whether the elements may be changed in place, and an error that says why not.
    pub(crate) fn check_in_place(&self, op: &'static str, source: Option<&Tensor>) -> Result<()> {
        let refuse = |why: &str| Err(Error::Autograd(format!("{op}: {why}")));
        if self.overlaps() {
            return refuse(
                "the tensor shows one element in several places, as expanding does; write to a `.copy()` of it",
            );
        }
        if !is_grad_enabled() {
            return Ok(());
        }
        if self.is_requires_grad() {
            let view = if self.is_view() { "a view inside a graph" } else { "a tensor inside a graph" };
            return refuse(if self.is_leaf() {
                "a leaf that requires a gradient is changed only inside of `no_grad(|| ..)`"
            } else {
                return Err(Error::Autograd(format!(
                    "{op}: {view} can't be changed in place; write `x += ..` or `x = x.{op}(..)` without the underscore"
                )));
            });
        }
        if source.is_some_and(Tensor::is_requires_grad) {
            return refuse(
                "the source requires a gradient and the target is not part of a graph, so the gradient would be lost; \
                 `.detach()` the source or run inside of `no_grad(|| ..)`",
            );
        }
        Ok(())
    }

    /// Copies the elements of `source`, broadcast, into this tensor's memory; views of it see the change.
    ///
    /// # Errors
    /// When the shapes or types do not fit, autograd forbids it (a leaf that requires a gradient outside of `no_grad`,
    /// a tensor inside a graph, an expanded tensor), or the device fails.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::zeros(&[2, 2]);
    /// x.select(0, 1).copy_(&Tensor::from_slice(&[5.0f32, 6.0], &[2]))?;
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.0, 5.0, 6.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn copy_(&self, source: &Tensor) -> Result<()> {
        self.check_in_place("copy_", Some(source))?;
        apply(&ops::assign::ASSIGN, &[self, source], Attrs::new()).map(|_| ())
    }

    /// Adds a number or the elements of a tensor, broadcast, to this tensor's.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn add_(&self, other: impl Into<Value>) -> Result<()> {
        match other.into() {
            Value::Tensor(other) => {
                self.check_in_place("add_", Some(&other))?;
                // As in a sum of both.
                let joins = self.dtype().is_float() && !other.dtype().is_float();
                let other = if joins { other.try_to_dtype(self.dtype())? } else { other };
                apply(&ops::assign::ADD_IN_PLACE, &[self, &other], Attrs::new()).map(|_| ())
            }
            Value::Number(other) => self.change("add_", None, |x| x.try_add_scalar(other)),
        }
    }

    /// Takes a number or the elements of a tensor, broadcast, from this tensor's.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn sub_(&self, other: impl Into<Value>) -> Result<()> {
        self.change_by("sub_", other, Tensor::try_sub, |x, y| x.try_add_scalar(-y))
    }

    /// Multiplies this tensor's elements by a number or by those of a tensor, broadcast.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// x.mul_(3.0)?;
    /// x.mul_(&x)?;
    /// assert_eq!(x.to_vec::<f32>()?, [9.0, 36.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn mul_(&self, other: impl Into<Value>) -> Result<()> {
        self.change_by("mul_", other, Tensor::try_mul, Tensor::try_mul_scalar)
    }

    /// Divides this tensor's elements by a number or by those of a tensor, broadcast.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn div_(&self, other: impl Into<Value>) -> Result<()> {
        self.change_by("div_", other, Tensor::try_div, Tensor::try_div_scalar)
    }

    /// [`Tensor::div_rounding`] of this tensor's elements, in their place.
    ///
    /// # Errors
    /// As [`Tensor::copy_`]; for a tensor of integers when a number is 0 or not whole.
    pub fn div_rounding_(&self, other: impl Into<Value>, mode: RoundingMode) -> Result<()> {
        self.change_by(
            "div_rounding_",
            other,
            |x, y| x.try_div_rounding(y, mode),
            |x, y| x.try_div_rounding_scalar(y, mode),
        )
    }

    /// [`Tensor::floor_divide`] of this tensor's elements, in their place.
    ///
    /// # Errors
    /// As [`Tensor::div_rounding_`].
    pub fn floor_divide_(&self, other: impl Into<Value>) -> Result<()> {
        self.change_by("floor_divide_", other, Tensor::try_floor_divide, Tensor::try_floor_divide_scalar)
    }

    /// [`Tensor::fmod`] of this tensor's elements, in their place.
    ///
    /// # Errors
    /// As [`Tensor::div_rounding_`].
    pub fn fmod_(&self, other: impl Into<Value>) -> Result<()> {
        self.change_by("fmod_", other, Tensor::try_fmod, Tensor::try_fmod_scalar)
    }

    /// [`Tensor::remainder`] of this tensor's elements, in their place.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let hours = Tensor::from_slice(&[23, 24, -1], &[3]);
    /// hours.remainder_(24.0)?;
    /// assert_eq!(hours.to_vec::<i32>()?, [23, 0, 23]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::div_rounding_`].
    pub fn remainder_(&self, other: impl Into<Value>) -> Result<()> {
        self.change_by("remainder_", other, Tensor::try_remainder, Tensor::try_remainder_scalar)
    }

    /// Brings every element to `min … max`.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn clamp_(&self, min: Option<f64>, max: Option<f64>) -> Result<()> {
        self.change("clamp_", None, |x| x.try_clamp(min, max))
    }

    /// Moves every element by the part `weight` of its way to that of `end`, as [`Tensor::lerp`] does.
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// // An average of a model's weights over its training.
    /// let model = nn::Linear::new(3, 2);
    /// let average: Vec<Tensor> = model.parameters().iter().map(|p| p.detach().copy()).collect();
    /// // … after each step:
    /// for (mean, parameter) in average.iter().zip(model.parameters()) {
    ///     mean.lerp_(&parameter.detach(), 0.01)?;
    /// }
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn lerp_(&self, end: &Tensor, weight: f64) -> Result<()> {
        self.change("lerp_", Some(end), |x| x.try_lerp(end, weight))
    }

    /// [`Self::change`] by an operation with a tensor or a number.
    fn change_by(
        &self,
        op: &'static str,
        other: impl Into<Value>,
        of_tensors: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
        with_number: impl FnOnce(&Tensor, f64) -> Result<Tensor>,
    ) -> Result<()> {
        match other.into() {
            Value::Tensor(other) => self.change(op, Some(&other), |x| of_tensors(x, &other)),
            Value::Number(other) => self.change(op, None, |x| with_number(x, other)),
        }
    }

    /// Writes what a function makes of the elements in their place.
    fn change(
        &self,
        op: &'static str,
        source: Option<&Tensor>,
        made: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        self.check_in_place(op, source)?;
        no_grad(|| {
            let mut made = made(self)?;
            if made.dtype().is_float() && self.dtype().is_float() {
                made = made.try_to_dtype(self.dtype())?;
            }
            if made.shape() != self.shape() {
                let detail = format!("a tensor of shape {:?} can't take values of {:?}", self.shape(), made.shape());
                return Err(Error::shape(op, detail));
            }
            if made.dtype() != self.dtype() {
                let detail = format!("the result is {}, which {} can't hold", made.dtype(), self.dtype());
                return Err(Error::dtype(op, detail));
            }
            apply(&ops::assign::ASSIGN, &[self, &made], Attrs::new()).map(|_| ())
        })
    }

    /// Sets every element.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn fill_(&self, value: f64) -> Result<()> {
        self.check_in_place("fill_", None)?;
        apply(&ops::fill::FILL_IN_PLACE, &[self], Attrs::new().float("value", value)).map(|_| ())
    }

    /// Sets every element to 0.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn zero_(&self) -> Result<()> {
        self.fill_(0.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::Result;
    use crate::engine::Device;
    use crate::tensor::Tensor;

    #[test]
    fn arithmetic_in_place_is_seen_by_views_and_keeps_shape_and_type() -> Result<()> {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
            let row = x.select(0, 1);
            row.add_(1.0)?;
            row.sub_(Tensor::from_slice(&[0.0f32, 1.0], &[2]))?;
            row.div_(2.0)?;
            x.mul_(10.0)?;
            assert_eq!(x.to_vec::<f32>()?, [10.0, 20.0, 20.0, 20.0]);
            x.clamp_(Some(15.0), None)?;
            x.lerp_(&Tensor::zeros(&[2]), 0.5)?;
            assert_eq!(x.to_vec::<f32>()?, [7.5, 10.0, 10.0, 10.0]);

            let halves = Tensor::ones(&[2]).half();
            halves.add_(&row)?;
            halves.mul_(&row)?;
            assert_eq!(halves.to_vec::<f32>()?, [110.0, 110.0]);
            row.add_(Tensor::from_slice(&[1, 2], &[2]))?;
            row.sub_(Tensor::from_slice(&[1, 2], &[2]))?;
            assert_eq!(row.to_vec::<f32>()?, [10.0, 10.0]);

            let text = row.mul_(&x).unwrap_err().to_string();
            assert!(text.contains("mul_") && text.contains("[2, 2]"), "{text}");
            let whole = Tensor::from_slice(&[1, 2], &[2]);
            let text = whole.div_(2.0).unwrap_err().to_string();
            assert!(text.contains("div_") && text.contains("i32"), "{text}");
            let text = x.clone().requires_grad().mul_(2.0).unwrap_err().to_string();
            assert!(text.contains("no_grad"), "{text}");
            Ok(())
        })
    }
}
