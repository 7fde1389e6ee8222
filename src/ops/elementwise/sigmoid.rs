//! `1 / (1 + e⁻ˣ)`, with derivative `y·(1 − y)` for the result y.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sigmoid.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

/// The function from its definition, for twins.
pub(in crate::ops) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

unary! {
    SIGMOID, "sigmoid",
    forward: |x, _| logistic(x),
    // `lg_sigmoid` is within 1.49 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Output,
    backward: |g, y, _| g * (1.0 - y) * y,
    // Four roundings of half a unit.
    backward_bound: Bound::ulps(2.5),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The logistic function `1 / (1 + e⁻ˣ)`, element by element. Integers become floats first.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).sigmoid();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.5, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn sigmoid / try_sigmoid (&self) -> Tensor {
        float_apply(&SIGMOID, self)
    }
}
