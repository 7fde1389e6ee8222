//! `x·σ(x)` with the logistic function `σ(x) = 1/(1 + e⁻ˣ)`, with derivative `σ(x)·(1 + x·(1 − σ(x)))`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.silu.html>

use super::sigmoid::logistic;
use super::{unary, unary_apply, unary_backward_twin};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    SILU, "silu",
    forward: |x, _| x * logistic(x),
    // The logistic function is within 1.49 ulp and the product rounds; far below 0 two exponentials of 0.95 ulp and two
    // products.
    bound: Bound::ulps(4.0),
    saves: Input,
    backward: |g, x, _| g * logistic(x) * (1.0 + x * logistic(-x)),
    // Of the two terms, which cancel near x = −1.28, each carries two logistic functions and a few roundings.
    backward_bound: Bound::Scaled {
        ulps: 6.0,
        magnitude: |c| unary_backward_twin(c, |g, x, _| g * logistic(x) * (1.0 + x.abs() * logistic(-x))),
    },
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The sigmoid linear unit `x·σ(x)`, also called swish.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).silu();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 1e4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn silu / try_silu (&self) -> Tensor {
        unary_apply(&SILU, self, Attrs::new())
    }
}
