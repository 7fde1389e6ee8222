//! What follows from order: the k-th smallest element, medians and quantiles, composed of `sort` and `topk`.
//!
//! The gradient of the median of all elements is shared evenly among the elements that equal it.
//!
//! <https://pytorch.org/docs/stable/generated/torch.kthvalue.html>,
//! <https://pytorch.org/docs/stable/generated/torch.median.html>,
//! <https://pytorch.org/docs/stable/generated/torch.quantile.html>

use smallvec::smallvec;

use super::{Attrs, Operation, apply, cases, methods, single};
use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::tensor::shape::dim_index;
use crate::{Error, Result};

/// Element `place` of dim `d`, with or without the dim.
fn pick(x: &Tensor, d: i64, place: usize, keepdim: bool) -> Result<Tensor> {
    if x.dim() == 0 {
        return Ok(x.clone());
    }
    if keepdim { x.try_narrow(d, place as i64, 1) } else { x.try_select(d, place as i64) }
}

/// The size of a dim that must have elements.
fn size(op: &'static str, x: &Tensor, dim: i64) -> Result<usize> {
    let d = dim_index(op, dim, x.dim())?;
    match x.shape().get(d).copied().unwrap_or(1) {
        0 => Err(Error::shape(op, format!("dim {dim} of shape {:?} has no elements", x.shape()))),
        size => Ok(size),
    }
}

/// The operation `median` of all elements.
pub(crate) static MEDIAN: Operation = Operation {
    name: "median",
    kernels: &[],
    forward: |call| {
        let x = call.input(0);
        let (value, _) = x.detach().try_ravel()?.try_median_dim(0, false)?;
        call.save(x);
        call.save(&value);
        Ok(smallvec![value])
    },
    vjp: Some(|v| {
        let (x, value) = (v.saved(0), v.saved(1));
        let both_nan = x.try_isnan()?.try_logical_and(&value.try_isnan()?)?;
        let same = x.try_eq(&value)?.try_logical_or(&both_nan)?.try_to_dtype(DType::F32)?;
        Ok(smallvec![Some(same.try_mul(&v.gradient().try_div(&same.try_sum()?)?)?)])
    }),
    cases: || {
        use cases::{Arrangement, Case, Fill, Input};
        let distinct = |shape: &[usize]| Input::floats(shape).fill(Fill::Distinct);
        vec![
            Case::new("even", vec![distinct(&[4, 6])]),
            Case::new("odd", vec![distinct(&[3, 7]).arranged(Arrangement::Transposed)]),
            Case::new("0-d", vec![distinct(&[])]),
            Case::new("ties", vec![Input::floats(&[9, 5]).fill(Fill::Whole(0, 3))]).no_gradcheck(),
            Case::new("nan", vec![Input::floats(&[17]).fill(cases::EXTREME)]).no_gradcheck(),
            Case::new("i32", vec![Input::ints(&[3, 7], -9, 9)]),
        ]
    },
};

methods! {
    /// The elements along dim 0 in ascending order: the values of [`Self::sort`].
    pub fn msort / try_msort (&self) -> Tensor {
        self.try_sort(0, false).map(|(values, _)| values)
    }

    /// The `k`-th smallest elements along a dim, counted from 1, and their places (i32).
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (value, place) = Tensor::from_slice(&[5.0f32, 1.0, 3.0], &[3]).kthvalue(2, 0, false);
    /// assert_eq!((value.item::<f32>()?, place.item::<i32>()?), (3.0, 2));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist, or `k` is 0 or larger than it.
    pub fn kthvalue / try_kthvalue (&self, k: usize, dim: i64, keepdim: bool) -> (Tensor, Tensor) {
        let size = size("kthvalue", self, dim)?;
        if k == 0 || k > size {
            return Err(Error::argument("kthvalue", format!("k is {k}, counted from 1, of {size} elements")));
        }
        let (values, places) = self.try_topk(k, dim, false)?;
        Ok((pick(&values, dim, k - 1, keepdim)?, pick(&places, dim, k - 1, keepdim)?))
    }

    /// The medians along a dim, and their places (i32): of an even number of elements the lower one in the middle. Where there
    /// is a NaN, that.
    ///
    /// # Panics
    /// When the dim does not exist or has no elements.
    pub fn median_dim / try_median_dim (&self, dim: i64, keepdim: bool) -> (Tensor, Tensor) {
        let size = size("median", self, dim)?;
        let (values, places) = self.try_sort(dim, false)?;
        let at = |x: &Tensor, place: usize| pick(x, dim, place, keepdim);
        let middle = (size - 1) / 2;
        let (value, place) = (at(&values, middle)?, at(&places, middle)?);
        if !self.dtype().is_float() {
            return Ok((value, place));
        }
        // A NaN comes last.
        let last = at(&values, size - 1)?;
        let is_nan = last.detach().try_isnan()?;
        Ok((is_nan.try_where_(&last, &value)?, is_nan.try_where_(&at(&places, size - 1)?, &place)?))
    }

    /// The median of all elements; of an even number the lower one in the middle, and NaN if there is one. Its gradient is shared
    /// evenly among the elements that equal it.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[5.0f32, 1.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(x.median().item::<f32>()?, 3.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there are no elements.
    pub fn median / try_median (&self) -> Tensor {
        size("median", &self.try_ravel()?, 0)?;
        single(apply(&MEDIAN, &[self], Attrs::new()))
    }

    /// The value below which the share `q` (0 to 1) of the elements along a dim lies, by linear interpolation between
    /// neighbours; without a dim, of all elements. NaN where there is a NaN.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[4.0f32, 1.0, 2.0], &[3]);
    /// assert_eq!(x.quantile(0.75, None, false).item::<f32>()?, 3.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `q` is not between 0 and 1, the dim does not exist, or there are no elements.
    pub fn quantile / try_quantile (&self, q: f64, dim: Option<i64>, keepdim: bool) -> Tensor {
        const OP: &str = "quantile";
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::argument(OP, format!("q must be between 0 and 1, not {q}")));
        }
        let Some(dim) = dim else {
            let y = self.try_ravel()?.try_quantile(q, Some(0), false)?;
            return if keepdim { y.try_reshape(vec![1usize; self.dim()]) } else { Ok(y) };
        };
        let size = size(OP, self, dim)?;
        let (values, _) = self.try_sort(dim, false)?;
        let at = |place: usize| pick(&values, dim, place, keepdim);
        let rank = q * (size - 1) as f64;
        let (below, weight) = (rank.floor(), rank.fract());
        let low = at(below as usize)?;
        let y = if weight == 0.0 {
            low
        } else {
            low.try_add(&at(below as usize + 1)?.try_sub(&low)?.try_mul_scalar(weight)?)?
        };
        let last = at(size - 1)?;
        last.detach().try_isnan()?.try_where_(&last, &y)
    }
}
