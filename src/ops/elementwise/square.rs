//! `x²`, with derivative `2x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.square.html>

use super::{ChainOp, unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    SQUARE, "square",
    forward: |x, _| x * x,
    int: |x, _| x.wrapping_mul(x),
    bound: Bound::ulps(1.0),
    saves: Input,
    backward: |g, x, _| 2.0 * g * x,
    backward_bound: Bound::ulps(1.0),
    chained: (ChainOp::Mul, &[0, 0]),
    chained_backward: (ChainOp::DoubleProduct, &[0, 1]),
    cases: || cases::unary_numeric(cases::ANY),
}

methods! {
    /// Each element times itself.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(-3.0).square().item::<f32>()?, 9.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn square / try_square (&self) -> Tensor {
        unary_apply(&SQUARE, self, Attrs::new())
    }
}
