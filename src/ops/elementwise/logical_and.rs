//! `x ∧ y` of truth values, broadcast.
//!
//! <https://pytorch.org/docs/stable/generated/torch.logical_and.html>

use super::{Elementwise, ElementwiseParams, LOGICAL, binary_forward, binary_kernel, every_kernel};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Bound, HostCall};
use crate::ops::{Attrs, Operation, apply, cases, methods, single};
use crate::tensor::Tensor;

static FORWARD: Elementwise = binary_kernel!("logical_and", LOGICAL, |c| logical_twin(c, |x, y| x && y), Bound::Exact);

/// The operation `logical_and`.
pub(crate) static LOGICAL_AND: Operation = Operation {
    name: "logical_and",
    kernels: every_kernel!(FORWARD),
    forward: |call| binary_forward(call, &FORWARD, |_| DType::Bool, false),
    vjp: None,
    cases: logical_cases,
};

/// The twin of an operation on truth values.
pub(super) fn logical_twin(call: &HostCall<'_>, forward: fn(bool, bool) -> bool) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (x, y, mut z) = (call.words(0), call.words(1), call.words_mut(2));
    (0..p.n).for_each(|i| z[p.result(i)] = u32::from(forward(x[p.operand(i, 0)] != 0, y[p.operand(i, 1)] != 0)));
    Ok(())
}

/// Applies an operation on truth values; numbers are true where they are not 0.
pub(super) fn logical_apply(operation: &'static Operation, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    single(apply(operation, &[&x.try_to_dtype(DType::Bool)?, &y.try_to_dtype(DType::Bool)?], Attrs::new()))
}

/// Cases of operations on two operands of truth values.
pub(super) fn logical_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    vec![
        Case::new("typical", vec![Input::bools(&[4, 6]), Input::bools(&[4, 6])]),
        Case::new("row", vec![Input::bools(&[3, 5]), Input::bools(&[5])]),
        Case::new("rows of quads", vec![Input::bools(&[3, 8]).arranged(Arrangement::Expanded), Input::bools(&[8])]),
        Case::new("outer", vec![Input::bools(&[3, 1]), Input::bools(&[1, 5])]),
        Case::new("transposed", vec![Input::bools(&[5, 3]).arranged(Arrangement::Transposed), Input::bools(&[5, 3])]),
        Case::new("0-d", vec![Input::bools(&[]), Input::bools(&[])]),
        Case::new("empty", vec![Input::bools(&[0, 3]), Input::bools(&[3])]),
        Case::new("large", vec![Input::bools(&[130, 65]), Input::bools(&[65])]),
        Case::new("floats", vec![Input::floats(&[3]), Input::floats(&[3])]).fails(),
        Case::new("shapes", vec![Input::bools(&[2, 3]), Input::bools(&[2])]).fails(),
    ]
}

methods! {
    /// Where both `self` and `other` are true, broadcast. Of numbers, everything but 0 is true.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[true, true, false, false], &[4]);
    /// let y = Tensor::from_slice(&[true, false, true, false], &[4]);
    /// assert_eq!(x.logical_and(&y).to_vec::<bool>()?, [true, false, false, false]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn logical_and / try_logical_and (&self, other: &Tensor) -> Tensor {
        logical_apply(&LOGICAL_AND, self, other)
    }
}
