//! `tanh x`, with derivative `1 − y²` for the result y.
//!
//! <https://pytorch.org/docs/stable/generated/torch.tanh.html>

use super::{float_apply, unary};
use crate::engine::Bound;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

unary! {
    TANH, "tanh",
    forward: |x, _| x.tanh(),
    // `lg_tanh` is within 1.09 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.0),
    saves: Output,
    backward: |g, y, _| g * (1.0 - y * y),
    // Five roundings of half a unit, of which `1 ± y` near 1 makes none.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The hyperbolic tangent, element by element. Integers become floats first.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(1e4).tanh().item::<f32>()?, 1.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn tanh / try_tanh (&self) -> Tensor {
        float_apply(&TANH, self)
    }
}
