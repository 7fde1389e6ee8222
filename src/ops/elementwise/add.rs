//! `x + y`, broadcast. The gradient passes to both operands unchanged.
//!
//! <https://pytorch.org/docs/stable/generated/torch.add.html>

use smallvec::smallvec;

use super::{ChainOp, Elementwise, NUMERIC, binary_apply, binary_forward, binary_kernel, binary_twin, every_kernel};
use crate::engine::Bound;
use crate::ops::{Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise =
    binary_kernel!("add", NUMERIC, |c| binary_twin(c, |x, y| x + y, Some(|x, y| x + y)), Bound::ulps(1.0))
        .chained(ChainOp::Add, &[0, 1]);

/// The operation `add`.
pub(crate) static ADD: Operation = Operation {
    name: "add",
    kernels: every_kernel!(FORWARD),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, false),
    vjp: Some(|v| {
        let g = v.gradient();
        Ok(smallvec![Some(g.clone()), Some(g.clone())])
    }),
    cases: cases::binary_numeric,
};

methods! {
    /// `self + other`, broadcast; also as the operator `+`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2, 1]);
    /// let y = Tensor::from_slice(&[10.0f32, 20.0, 30.0], &[3]);
    /// assert_eq!(x.add(&y).to_vec::<f32>()?, [11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn add / try_add (&self, other: &Tensor) -> Tensor {
        binary_apply(&ADD, self, other)
    }
}
