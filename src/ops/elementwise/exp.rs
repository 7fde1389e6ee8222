//! `eˣ`, its own derivative.
//!
//! <https://pytorch.org/docs/stable/generated/torch.exp.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    EXP, "exp",
    forward: |x, _| x.exp(),
    // `lg_exp` is within 0.95 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.0),
    saves: Output,
    backward: |g, y, _| g * y,
    // One product, rounded on both sides.
    backward_bound: Bound::ulps(1.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// `e` to the power of each element. Integers become floats first.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(0.0).exp().item::<f32>()?, 1.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn exp / try_exp (&self) -> Tensor {
        float_apply(&EXP, self)
    }
}
