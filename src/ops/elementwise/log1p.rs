//! `log(1 + x)`, exact for small x too, with derivative `1 / (1 + x)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.log1p.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    LOG1P, "log1p",
    forward: |x, _| x.ln_1p(),
    // `lg_log1p` is within 1.50 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Input,
    backward: |g, x, _| g / (1.0 + x),
    // Vulkan grants a division 2.5 ulp, and the sum rounds.
    backward_bound: Bound::ulps(3.5),
    cases: || cases::unary(cases::POSITIVE),
}

methods! {
    /// `log(1 + x)` of each element, accurate where x is small. Integers become floats first.
    pub fn log1p / try_log1p (&self) -> Tensor {
        float_apply(&LOG1P, self)
    }
}
