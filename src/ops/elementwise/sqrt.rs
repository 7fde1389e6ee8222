//! `√x`, with derivative `1 / (2y)` for the result y.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sqrt.html>

use super::{ChainOp, float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    SQRT, "sqrt",
    forward: |x, _| x.sqrt(),
    // `lg_sqrt` is within 0.501 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(1.5),
    saves: Output,
    backward: |g, y, _| g / (2.0 * y),
    // Vulkan grants a division 2.5 ulp.
    backward_bound: Bound::ulps(3.0),
    chained: (ChainOp::Sqrt, &[0]),
    cases: || cases::unary(cases::POSITIVE),
}

methods! {
    /// The square root of each element: NaN below 0. Integers become floats first.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(9.0).sqrt().item::<f32>()?, 3.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn sqrt / try_sqrt (&self) -> Tensor {
        float_apply(&SQRT, self)
    }
}
