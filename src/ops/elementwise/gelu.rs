//! `x·Φ(x)`, where `Φ(x) = (1 + erf(x/√2))/2` is the distribution of the standard normal, with derivative `Φ(x) + x·φ(x)`,
//! where `φ(x) = e^(−x²/2)/√(2π)` is its density. Hendrycks and Gimpel, "Gaussian error linear units" (2016).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html>

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::{unary, unary_apply, unary_backward_twin, unary_twin};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

/// Φ.
fn distribution(x: f64) -> f64 {
    0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2))
}

/// φ.
fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

unary! {
    GELU, "gelu",
    forward: |x, _| x * distribution(x),
    // 1 + erf cancels for negative x, so that the error is of the size of x: half of the error function's 1.32 ulp, of
    // its argument's 1, and of the two roundings after it.
    bound: Bound::Scaled { ulps: 2.0, magnitude: |c| unary_twin(c, |x, _| x, None) },
    saves: Input,
    backward: |g, x, _| g * (distribution(x) + x * density(x)),
    // The same cancellation, and products below 0.25 with a handful of roundings.
    backward_bound: Bound::Scaled { ulps: 4.0, magnitude: |c| unary_backward_twin(c, |g, _, _| g) },
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The Gaussian error linear unit `x·Φ(x)`, in its exact form: PyTorch's default.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).gelu();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 1e4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn gelu / try_gelu (&self) -> Tensor {
        unary_apply(&GELU, self, Attrs::new())
    }
}
