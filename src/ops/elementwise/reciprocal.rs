//! `1/x`, with derivative `−y²`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.reciprocal.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    RECIPROCAL, "reciprocal",
    forward: |x, _| 1.0 / x,
    // Vulkan allows 2.5 ulp for a division.
    bound: Bound::ulps(3.0),
    saves: Output,
    backward: |g, y, _| -g * y * y,
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::AWAY_FROM_ZERO),
}

methods! {
    /// `1/self`, element by element.
    pub fn reciprocal / try_reciprocal (&self) -> Tensor {
        unary_apply(&RECIPROCAL, self, Attrs::new())
    }
}
