//! `x·(1 + t)/2` with `t = tanh u`, `u = √(2/π)·(x + 0.044715·x³)`: GELU as first published, with its own derivative
//! `(1 + t)/2 + x·(1 − t²)/2·√(2/π)·(1 + 0.134145·x²)`. Hendrycks and Gimpel, "Gaussian error linear units" (2016).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html>

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::{unary, unary_apply, unary_backward_twin, unary_twin};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

/// √(2/π).
const SCALE: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f64 = 0.044_715;

fn inner(x: f64) -> f64 {
    SCALE * (x + CUBIC * x * x * x)
}

fn derivative(x: f64) -> f64 {
    let t = inner(x).tanh();
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SCALE * (1.0 + 3.0 * CUBIC * x * x)
}

unary! {
    GELU_TANH, "gelu_tanh",
    forward: |x, _| 0.5 * x * (1.0 + inner(x).tanh()),
    // 1 + t cancels for negative x, so that the error is of the size of x: half of what the tangent, its argument, of
    // which 0.45 counts, and two roundings add.
    bound: Bound::Scaled { ulps: 2.5, magnitude: |c| unary_twin(c, |x, _| x, None) },
    saves: Input,
    backward: |g, x, _| g * derivative(x),
    // The same cancellation, and a second term below 0.7 in whose exponential the argument's rounding counts up to 4 times.
    backward_bound: Bound::Scaled { ulps: 8.0, magnitude: |c| unary_backward_twin(c, |g, _, _| g) },
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// [`Self::gelu`] by a hyperbolic tangent: PyTorch's `gelu(approximate="tanh")`. The gradient is that of this very form.
    pub fn gelu_tanh / try_gelu_tanh (&self) -> Tensor {
        unary_apply(&GELU_TANH, self, Attrs::new())
    }
}
