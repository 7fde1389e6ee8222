//! `x` above a threshold and a fixed value elsewhere, with derivatives 1 and 0.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.threshold.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    THRESHOLD, "threshold",
    forward: |x, a| if x <= a[0] { a[1] } else { x },
    bound: Bound::Exact,
    saves: Input,
    scalars: |attrs| [attrs.get_float("threshold"), attrs.get_float("value"), 0.0, 0.0],
    backward: |g, x, a| if x <= a[0] { 0.0 } else { g },
    backward_bound: Bound::Exact,
    cases: || {
        let mut list = cases::with_attrs(cases::unary(cases::AWAY_FROM_ZERO), attrs(0.0, -7.0));
        let bends = cases::Fill::Values(&[0.25, 0.5, 0.75]);
        list.push(cases::Case::new("bends", vec![cases::Input::floats(&[3]).fill(bends)]).attrs(attrs(0.5, 20.0)).no_gradcheck());
        list
    },
}

fn attrs(threshold: f64, value: f64) -> Attrs {
    Attrs::new().float("threshold", threshold).float("value", value)
}

methods! {
    /// Each element above `threshold`, and `value` for the others.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-2.0f32, 0.5, 1.0], &[3]).threshold(0.5, 20.0);
    /// assert_eq!(y.to_vec::<f32>()?, [20.0, 20.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn threshold / try_threshold (&self, threshold: f64, value: f64) -> Tensor {
        unary_apply(&THRESHOLD, self, attrs(threshold, value))
    }
}
