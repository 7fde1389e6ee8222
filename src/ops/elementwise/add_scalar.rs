//! `x + c` for a number c. The gradient passes unchanged.

use smallvec::smallvec;

use super::{
    ChainOp, Elementwise, Saves, every_kernel, scalar_attr, scalar_of, unary_apply, unary_forward, unary_kernel,
};
use crate::engine::Bound;
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise =
    unary_kernel!("add_scalar", |x, a| x + a[0], Bound::ulps(1.0), |x, a| x + a[0]).chained(ChainOp::Add, &[0]);

/// The operation `add_scalar`.
pub(crate) static ADD_SCALAR: Operation = Operation {
    name: "add_scalar",
    kernels: every_kernel!(FORWARD),
    forward: |call| unary_forward(call, &FORWARD, scalar_of, Saves::Nothing),
    vjp: Some(|v| Ok(smallvec![Some(v.gradient().clone())])),
    cases: || cases::with_attrs(cases::unary_numeric(cases::ANY), Attrs::new().float("other", 3.0)),
};

methods! {
    /// `self + other` for a number; also as the operator `+`. A tensor of integers takes whole numbers only.
    pub fn add_scalar / try_add_scalar (&self, other: f64) -> Tensor {
        unary_apply(&ADD_SCALAR, self, scalar_attr("add_scalar", self, other)?)
    }
}
