//! `sin x`, x in radians, with derivative `cos x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sin.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    SIN, "sin",
    forward: |x, _| x.sin(),
    // `lg_sin` is within 1.37 ulp of every x; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Input,
    backward: |g, x, _| g * x.cos(),
    // `lg_cos` is within 1.37 ulp, and the product rounds.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The sine of each element, in radians. Integers become floats first.
    pub fn sin / try_sin (&self) -> Tensor {
        float_apply(&SIN, self)
    }
}
