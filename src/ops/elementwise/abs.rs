//! `|x|`, with derivative `sign x`, so 0 at 0.
//!
//! <https://pytorch.org/docs/stable/generated/torch.abs.html>

use super::{ChainOp, unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    ABS, "abs",
    forward: |x, _| x.abs(),
    int: |x, _| x.abs(),
    bound: Bound::Exact,
    saves: Input,
    backward: |g, x, _| g * f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
    backward_bound: Bound::Exact,
    chained: (ChainOp::Abs, &[0]),
    cases: || cases::unary_numeric(cases::AWAY_FROM_ZERO),
}

methods! {
    /// The magnitude of each element.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1.5f32, 0.0, 2.0], &[3]).abs();
    /// assert_eq!(y.to_vec::<f32>()?, [1.5, 0.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn abs / try_abs (&self) -> Tensor {
        unary_apply(&ABS, self, Attrs::new())
    }
}
