//! `x·t(x)` with `t(x) = tanh(log(1 + eˣ))`, with derivative `t(x) + x·σ(x)·(1 − t(x)²)`, where σ is the logistic function.
//!
//! Misra, "Mish: a self regularized non-monotonic activation function" (2019).
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.mish.html>

use super::sigmoid::logistic;
use super::{unary, unary_apply, unary_backward_twin};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

/// log(1 + eˣ), whose eˣ does not overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1 − tanh²(log(1 + eˣ)) as 1 / cosh², which does not cancel.
fn closed(x: f64) -> f64 {
    softplus(x).cosh().powi(-2)
}

unary! {
    MISH, "mish",
    forward: |x, _| if x.is_nan() { x } else { x * softplus(x).tanh() },
    // An exponential of 0.95 ulp, three sums and products, a division of 2.5, the last product; far below 0 two exponentials
    // and two products.
    bound: Bound::ulps(6.0),
    saves: Input,
    backward: |g, x, _| if x.is_nan() { x } else { g * (softplus(x).tanh() + x * logistic(x) * closed(x)) },
    // Of the two terms, which cancel near x = −1.19, the second carries a logistic function, two divisions and two
    // exponentials.
    backward_bound: Bound::Scaled {
        ulps: 10.0,
        magnitude: |c| unary_backward_twin(c, |g, x, _| g * (softplus(x).tanh() + x.abs() * logistic(x) * closed(x))),
    },
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// `x·tanh(log(1 + eˣ))`, a smooth [`Self::relu`] that lets some of what is below 0 through.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).mish();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 1e4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn mish / try_mish (&self) -> Tensor {
        unary_apply(&MISH, self, Attrs::new())
    }
}
