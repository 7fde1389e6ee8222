//! `cos x`, x in radians, with derivative `−sin x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.cos.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    COS, "cos",
    forward: |x, _| x.cos(),
    // `lg_cos` is within 1.37 ulp of every x; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Input,
    backward: |g, x, _| -g * x.sin(),
    // `lg_sin` is within 1.37 ulp, and the product rounds.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The cosine of each element, in radians. Integers become floats first.
    pub fn cos / try_cos (&self) -> Tensor {
        float_apply(&COS, self)
    }
}
