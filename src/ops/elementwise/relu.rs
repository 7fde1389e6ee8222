//! `relu(x) = max(x, 0)`, with derivative 1 where x > 0 and 0 elsewhere, at 0 too.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.relu.html>

use super::{ChainOp, unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    RELU, "relu",
    forward: |x, _| if x <= 0.0 { 0.0 } else { x },
    int: |x, _| x.max(0),
    bound: Bound::Exact,
    saves: Output,
    backward: |g, y, _| if y <= 0.0 { 0.0 } else { g },
    backward_bound: Bound::Exact,
    chained: (ChainOp::Maximum, &[0]),
    chained_backward: (ChainOp::Gate, &[0, 1]),
    cases: || cases::unary_numeric(cases::AWAY_FROM_ZERO),
}

methods! {
    /// `max(x, 0)`, element by element.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1.0f32, 0.0, 2.0], &[3]).relu();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn relu / try_relu (&self) -> Tensor {
        unary_apply(&RELU, self, Attrs::new())
    }
}
