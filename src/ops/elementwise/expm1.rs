//! `eˣ − 1`, exact for small x too, with derivative `eˣ = y + 1` for the result y.
//!
//! <https://pytorch.org/docs/stable/generated/torch.expm1.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    EXPM1, "expm1",
    forward: |x, _| x.exp_m1(),
    // `lg_expm1` is within 1.42 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Output,
    backward: |g, y, _| g * (y + 1.0),
    // Sum and product round, and so does the twin.
    backward_bound: Bound::ulps(2.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// `eˣ − 1` of each element, accurate where x is small. Integers become floats first.
    pub fn expm1 / try_expm1 (&self) -> Tensor {
        float_apply(&EXPM1, self)
    }
}
