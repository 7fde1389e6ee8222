//! `x − y`, broadcast: `dx = g`, `dy = −g`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sub.html>

use smallvec::smallvec;

use super::{ChainOp, Elementwise, NUMERIC, binary_apply, binary_forward, binary_kernel, binary_twin, every_kernel};
use crate::engine::Bound;
use crate::ops::{Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise =
    binary_kernel!("sub", NUMERIC, |c| binary_twin(c, |x, y| x - y, Some(|x, y| x - y)), Bound::ulps(1.0))
        .chained(ChainOp::Sub, &[0, 1]);

/// The operation `sub`.
pub(crate) static SUB: Operation = Operation {
    name: "sub",
    kernels: every_kernel!(FORWARD),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, false),
    vjp: Some(|v| {
        let g = v.gradient();
        let right = if v.needs(1) { Some(g.try_neg()?) } else { None };
        Ok(smallvec![Some(g.clone()), right])
    }),
    cases: cases::binary_numeric,
};

methods! {
    /// `self − other`, broadcast; also as the operator `-`.
    pub fn sub / try_sub (&self, other: &Tensor) -> Tensor {
        binary_apply(&SUB, self, other)
    }
}
