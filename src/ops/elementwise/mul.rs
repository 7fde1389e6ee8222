//! `x · y`, broadcast: `dx = g·y`, `dy = g·x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.mul.html>

use super::{
    ChainOp, Elementwise, NUMERIC, binary_apply, binary_backward_kernel, binary_forward, binary_kernel, binary_twin,
    binary_vjp, every_kernel,
};
use crate::engine::Bound;
use crate::ops::{Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise =
    binary_kernel!("mul", NUMERIC, |c| binary_twin(c, |x, y| x * y, Some(|x, y| x.wrapping_mul(y))), Bound::ulps(1.0))
        .chained(ChainOp::Mul, &[0, 1]);
static LEFT: Elementwise =
    binary_backward_kernel!("mul", "left", |g, _, y| g * y, Bound::ulps(1.0)).chained(ChainOp::Mul, &[0, 2]);
static RIGHT: Elementwise =
    binary_backward_kernel!("mul", "right", |g, x, _| g * x, Bound::ulps(1.0)).chained(ChainOp::Mul, &[0, 1]);

/// The operation `mul`.
pub(crate) static MUL: Operation = Operation {
    name: "mul",
    kernels: every_kernel!(FORWARD, LEFT, RIGHT),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, true),
    vjp: Some(|v| binary_vjp(v, &LEFT, &RIGHT)),
    cases: cases::binary_numeric,
};

methods! {
    /// `self · other`, broadcast; also as the operator `*`.
    pub fn mul / try_mul (&self, other: &Tensor) -> Tensor {
        binary_apply(&MUL, self, other)
    }
}
