//! `x ∨ y` of truth values, broadcast.
//!
//! <https://pytorch.org/docs/stable/generated/torch.logical_or.html>

use super::logical_and::{logical_apply, logical_cases, logical_twin};
use super::{Elementwise, LOGICAL, binary_forward, binary_kernel, every_kernel};
use crate::dtype::DType;
use crate::engine::Bound;
use crate::ops::{Operation, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise = binary_kernel!("logical_or", LOGICAL, |c| logical_twin(c, |x, y| x || y), Bound::Exact);

/// The operation `logical_or`.
pub(crate) static LOGICAL_OR: Operation = Operation {
    name: "logical_or",
    kernels: every_kernel!(FORWARD),
    forward: |call| binary_forward(call, &FORWARD, |_| DType::Bool, false),
    vjp: None,
    cases: logical_cases,
};

methods! {
    /// Where `self` or `other` is true, or both, broadcast. Of numbers, everything but 0 is true.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[true, true, false, false], &[4]);
    /// let y = Tensor::from_slice(&[true, false, true, false], &[4]);
    /// assert_eq!(x.logical_or(&y).to_vec::<bool>()?, [true, true, true, false]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn logical_or / try_logical_or (&self, other: &Tensor) -> Tensor {
        logical_apply(&LOGICAL_OR, self, other)
    }
}
