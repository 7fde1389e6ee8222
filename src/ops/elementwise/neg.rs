//! `−x`.

use smallvec::smallvec;

use super::{ChainOp, Elementwise, Saves, every_kernel, unary_apply, unary_forward, unary_kernel};
use crate::engine::Bound;
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise = unary_kernel!("neg", |x, _| -x, Bound::Exact, |x, _| -x).chained(ChainOp::Neg, &[0]);

/// The operation `neg`.
pub(crate) static NEG: Operation = Operation {
    name: "neg",
    kernels: every_kernel!(FORWARD),
    forward: |call| unary_forward(call, &FORWARD, |_| [0.0; 4], Saves::Nothing),
    vjp: Some(|v| {
        let g = v.gradient();
        Ok(smallvec![Some(v.map(&FORWARD, g, [0.0; 4])?)])
    }),
    cases: || cases::unary_numeric(cases::ANY),
};

methods! {
    /// `−self`; also as the operator `-`. Unsigned integers wrap.
    pub fn neg / try_neg (&self) -> Tensor {
        unary_apply(&NEG, self, Attrs::new())
    }
}
