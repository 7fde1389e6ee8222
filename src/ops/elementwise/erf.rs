//! The error function `2/√π · ∫₀ˣ e^(−t²) dt`, with derivative `2/√π · e^(−x²)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.erf.html>

use std::f64::consts::FRAC_2_SQRT_PI;

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    ERF, "erf",
    forward: |x, _| libm::erf(x),
    // `lg_erf` is within 1.32 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Input,
    backward: |g, x, _| g * FRAC_2_SQRT_PI * (-x * x).exp(),
    // The exponential is within 1 ulp, its argument exact, and two products round.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The error function of each element. Integers become floats first.
    pub fn erf / try_erf (&self) -> Tensor {
        float_apply(&ERF, self)
    }
}
