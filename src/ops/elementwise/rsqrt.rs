//! `1 / √x`, with derivative `−y³/2` for the result y.
//!
//! <https://pytorch.org/docs/stable/generated/torch.rsqrt.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    RSQRT, "rsqrt",
    forward: |x, _| 1.0 / x.sqrt(),
    // A root within 0.501 ulp below a division, to which Vulkan grants 2.5.
    bound: Bound::ulps(4.0),
    saves: Output,
    backward: |g, y, _| -0.5 * g * y * y * y,
    // Three products that round; the factor −½ is exact.
    backward_bound: Bound::ulps(2.5),
    cases: || cases::unary(cases::POSITIVE),
}

methods! {
    /// One divided by the square root of each element. Integers become floats first.
    pub fn rsqrt / try_rsqrt (&self) -> Tensor {
        float_apply(&RSQRT, self)
    }
}
