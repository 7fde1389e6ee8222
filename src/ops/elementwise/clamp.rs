//! x cut to the range from a to b, with derivative 1 strictly between them and 0 elsewhere. NaN stays NaN.
//!
//! <https://pytorch.org/docs/stable/generated/torch.clamp.html>. In older versions of PyTorch the derivative is 1 on the
//! bounds too; <https://github.com/pytorch/pytorch/pull/191142> made it that of `hardtanh`.

use super::{unary, unary_apply};
use crate::Error;
use crate::dtype::DType;
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    CLAMP, "clamp",
    forward: |x, a| if x.is_nan() || a[0].is_nan() || a[1].is_nan() { f64::NAN } else { x.max(a[0]).min(a[1]) },
    int: |x, a| x.max(a[0]).min(a[1]),
    bound: Bound::Exact,
    saves: Input,
    // A missing bound is infinite, which becomes the end of the range of an integer.
    scalars: |attrs| {
        let given = |name| f64::from(u8::from(attrs.get_bool(name)));
        [attrs.get_float("min"), attrs.get_float("max"), given("has_min"), given("has_max")]
    },
    backward: |g, x, a| {
        let above = a[2] == 0.0 || x > a[0];
        let below = a[3] == 0.0 || x < a[1];
        if above && below && ![x, a[0], a[1]].iter().any(|v| v.is_nan()) { g } else { 0.0 }
    },
    backward_bound: Bound::Exact,
    cases: || {
        let mut list = cases::with_attrs(cases::unary_numeric(cases::ANY), attrs(Some(-1.0), Some(1.0)));
        let infinity = f64::INFINITY;
        let bounds = || {
            let values = cases::Fill::Values(&[-0.5, 0.0, 1.0, 1.5, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
            cases::Input::floats(&[8]).fill(values)
        };
        for (name, min, max) in [
            ("on the bounds", Some(0.0), Some(1.0)),
            ("min", Some(0.0), None),
            ("max", None, Some(1.0)),
            ("infinite bounds", Some(-infinity), Some(infinity)),
            ("crossed", Some(1.0), Some(0.0)),
        ] {
            list.push(cases::Case::new(name, vec![bounds()]).attrs(attrs(min, max)).no_gradcheck());
        }
        list.iter_mut().filter(|c| c.name == "u32").for_each(|c| c.attrs = attrs(Some(5.0), None));
        list
    },
}

fn attrs(min: Option<f64>, max: Option<f64>) -> Attrs {
    let bounds = Attrs::new().float("min", min.unwrap_or(f64::NEG_INFINITY)).float("max", max.unwrap_or(f64::INFINITY));
    bounds.bool("has_min", min.is_some()).bool("has_max", max.is_some())
}

methods! {
    /// Each element cut to the range from `min` to `max`, either of which may be missing. The gradient passes strictly
    /// between them; where `min` is above `max`, every element becomes `max`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-3.0f32, 0.5, 9.0], &[3]).clamp(Some(0.0), None);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.5, 9.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// Without any bound; with a bound that is not whole for a tensor of integers.
    pub fn clamp / try_clamp (&self, min: Option<f64>, max: Option<f64>) -> Tensor {
        if min.is_none() && max.is_none() {
            return Err(Error::argument("clamp", "needs `min` or `max`"));
        }
        for bound in [min, max].into_iter().flatten() {
            super::scalar_attr("clamp", self, bound)?;
        }
        if self.dtype() == DType::U32 {
            // None of its elements is below 0.
            return unary_apply(&CLAMP, self, attrs(Some(min.unwrap_or(0.0).max(0.0)), max.map(|m| m.max(0.0))));
        }
        unary_apply(&CLAMP, self, attrs(min, max))
    }

    /// [`Self::clamp`] with a lower bound alone.
    pub fn clamp_min / try_clamp_min (&self, min: f64) -> Tensor {
        self.try_clamp(Some(min), None)
    }

    /// [`Self::clamp`] with an upper bound alone.
    pub fn clamp_max / try_clamp_max (&self, max: f64) -> Tensor {
        self.try_clamp(None, Some(max))
    }

    /// [`Self::clamp`] with bounds that are tensors, broadcast: the [`Self::maximum`] with `min`, then the
    /// [`Self::minimum`] with `max`. A gradient goes to what was taken; an element and a bound that are equal share it.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-3.0f32, 0.5, 9.0], &[3]);
    /// let max = Tensor::from_slice(&[1.0f32, 0.0, 10.0], &[3]);
    /// assert_eq!(x.clamp_tensors(None, Some(&max)).to_vec::<f32>()?, [-3.0, 0.0, 9.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// Without any bound; when the shapes do not fit.
    pub fn clamp_tensors / try_clamp_tensors (&self, min: Option<&Tensor>, max: Option<&Tensor>) -> Tensor {
        if min.is_none() && max.is_none() {
            return Err(Error::argument("clamp", "needs `min` or `max`"));
        }
        let raised = min.map_or(Ok(self.clone()), |min| self.try_maximum(min))?;
        max.map_or(Ok(raised.clone()), |max| raised.try_minimum(max))
    }
}
