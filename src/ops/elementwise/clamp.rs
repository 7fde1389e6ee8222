//! x cut to the range from a to b, with derivative 1 within it, bounds included, and 0 elsewhere. NaN stays NaN.
//!
//! <https://pytorch.org/docs/stable/generated/torch.clamp.html>

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
    scalars: |attrs| [attrs.get_float("min"), attrs.get_float("max"), 0.0, 0.0],
    backward: |g, x, a| if x >= a[0] && x <= a[1] { g } else { 0.0 },
    backward_bound: Bound::Exact,
    cases: || {
        let mut list = cases::with_attrs(cases::unary_numeric(cases::ANY), attrs(-1.0, 1.0));
        let bounds = || cases::Input::floats(&[5]).fill(cases::Fill::Values(&[-0.5, 0.0, 1.0, 1.5, 0.5]));
        let infinity = f64::INFINITY;
        for (name, min, max) in
            [("on the bounds", 0.0, 1.0), ("min", 0.0, infinity), ("max", -infinity, 1.0), ("crossed", 1.0, 0.0)]
        {
            list.push(cases::Case::new(name, vec![bounds()]).attrs(attrs(min, max)).no_gradcheck());
        }
        list.iter_mut().filter(|c| c.name == "u32").for_each(|c| c.attrs = attrs(5.0, infinity));
        list
    },
}

fn attrs(min: f64, max: f64) -> Attrs {
    Attrs::new().float("min", min).float("max", max)
}

methods! {
    /// Each element cut to the range from `min` to `max`, either of which may be missing. The gradient passes on the bounds;
    /// where `min` is above `max`, every element becomes `max`.
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
        let (min, max) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
        // No element of u32 is below 0.
        let attrs = if self.dtype() == DType::U32 { attrs(min.max(0.0), max.max(0.0)) } else { attrs(min, max) };
        unary_apply(&CLAMP, self, attrs)
    }
}
