//! The natural logarithm, with derivative `1 / x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.log.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    LOG, "log",
    forward: |x, _| x.ln(),
    // `lg_log` is within 0.89 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.0),
    saves: Input,
    backward: |g, x, _| g / x,
    // Vulkan grants a division 2.5 ulp.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::POSITIVE),
}

methods! {
    /// The natural logarithm of each element: −∞ for 0, NaN below. Integers become floats first.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(1.0).log().item::<f32>()?, 0.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn log / try_log (&self) -> Tensor {
        float_apply(&LOG, self)
    }
}
