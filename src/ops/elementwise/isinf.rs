//! Whether x is infinite, of either sign, by its bits.
//!
//! <https://pytorch.org/docs/stable/generated/torch.isinf.html>

use super::{
    Elementwise, ElementwiseParams, FLOAT_TEST, as_float, every_kernel, unary_apply, unary_kernel, unary_test,
};
use crate::Result;
use crate::engine::{Bound, HostCall};
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise = unary_kernel!(@as "isinf", ["isinf"], FLOAT_TEST, twin, Bound::Exact);

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (x, mut y) = (call.floats(0), call.words_mut(1));
    (0..p.n).for_each(|i| {
        let x = x[p.operand(i, 0)];
        y[p.result(i)] = u32::from(x.is_infinite());
    });
    Ok(())
}

/// The operation `isinf`.
pub(crate) static ISINF: Operation = Operation {
    name: "isinf",
    kernels: every_kernel!(FORWARD),
    forward: |call| unary_test(call, &FORWARD, |_| [0.0; 4]),
    vjp: None,
    cases: || cases::unary(cases::ANY),
};

methods! {
    /// Where elements are infinite, of either sign. Integers never are.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0, f32::NAN, f32::INFINITY], &[3]);
    /// assert_eq!(x.isinf().to_vec::<bool>()?, [false, false, true]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn isinf / try_isinf (&self) -> Tensor {
        unary_apply(&ISINF, &as_float(self)?, Attrs::new())
    }
}
