//! `¬x` of truth values.
//!
//! <https://pytorch.org/docs/stable/generated/torch.logical_not.html>

use super::logical_and::logical_cases;
use super::{Elementwise, ElementwiseParams, LOGICAL, every_kernel, unary_apply, unary_kernel, unary_test};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Bound, HostCall};
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise = unary_kernel!(@as "logical_not", ["logical_not"], LOGICAL, twin, Bound::Exact);

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (x, mut y) = (call.words(0), call.words_mut(1));
    (0..p.n).for_each(|i| y[p.result(i)] = u32::from(x[p.operand(i, 0)] == 0));
    Ok(())
}

/// The operation `logical_not`.
pub(crate) static LOGICAL_NOT: Operation = Operation {
    name: "logical_not",
    kernels: every_kernel!(FORWARD),
    forward: |call| unary_test(call, &FORWARD, |_| [0.0; 4]),
    vjp: None,
    cases: || {
        let ones = logical_cases().into_iter().filter(|c| c.name != "shapes");
        ones.map(|c| cases::Case { inputs: c.inputs[..1].to_vec(), ..c }).collect()
    },
};

methods! {
    /// True where `self` is false, and the other way round. Of numbers, everything but 0 is true.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[true, false], &[2]);
    /// assert_eq!(x.logical_not().to_vec::<bool>()?, [false, true]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn logical_not / try_logical_not (&self) -> Tensor {
        unary_apply(&LOGICAL_NOT, &self.try_to_dtype(DType::Bool)?, Attrs::new())
    }
}
