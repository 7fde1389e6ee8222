//! `x / (1 + |x|)`, with derivative `1 / (1 + |x|)²`. Infinities give NaN, as in PyTorch.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.softsign.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    SOFTSIGN, "softsign",
    forward: |x, _| x / (1.0 + x.abs()),
    // A sum, and a division, which Vulkan grants 2.5 ulp.
    bound: Bound::ulps(3.5),
    saves: Input,
    backward: |g, x, _| if x.is_infinite() { f64::NAN } else { g / (1.0 + x.abs()).powi(2) },
    // A sum that counts twice, and two divisions.
    backward_bound: Bound::ulps(7.0),
    cases: || cases::unary(cases::AWAY_FROM_ZERO),
}

methods! {
    /// `x / (1 + |x|)`: between −1 and 1, more slowly than [`Self::tanh`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1.0f32, 0.0, 3.0], &[3]).softsign();
    /// assert_eq!(y.to_vec::<f32>()?, [-0.5, 0.0, 0.75]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn softsign / try_softsign (&self) -> Tensor {
        unary_apply(&SOFTSIGN, self, Attrs::new())
    }
}
