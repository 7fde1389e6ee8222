//! `x / y`, broadcast: `dx = g/y`, `dy = −g·x/y²`. Integers become floats first, as in PyTorch.
//!
//! <https://pytorch.org/docs/stable/generated/torch.div.html>

use super::{
    ChainOp, Elementwise, FLOAT, binary_apply, binary_backward_kernel, binary_forward, binary_kernel, binary_twin,
    binary_vjp, every_kernel, with_floats,
};
use crate::engine::Bound;
use crate::ops::{Operation, cases, methods};
use crate::tensor::Tensor;

// Vulkan allows 2.5 ulp for a division.
static FORWARD: Elementwise = binary_kernel!("div", FLOAT, |c| binary_twin(c, |x, y| x / y, None), Bound::ulps(3.0))
    .chained(ChainOp::Div, &[0, 1]);
static LEFT: Elementwise =
    binary_backward_kernel!("div", "left", |g, _, y| g / y, Bound::ulps(3.0)).chained(ChainOp::Div, &[0, 2]);
static RIGHT: Elementwise = binary_backward_kernel!("div", "right", |g, x, y| -g * ((x / y) / y), Bound::ulps(7.0));

/// The operation `div`.
pub(crate) static DIV: Operation = Operation {
    name: "div",
    kernels: every_kernel!(FORWARD, LEFT, RIGHT),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, true),
    vjp: Some(|v| binary_vjp(v, &LEFT, &RIGHT)),
    cases: || cases::binary(cases::AWAY_FROM_ZERO),
};

methods! {
    /// `self / other`, broadcast; also as the operator `/`.
    pub fn div / try_div (&self, other: &Tensor) -> Tensor {
        let (x, y) = with_floats(self, other)?;
        binary_apply(&DIV, &x, &y)
    }
}
