//! `x · c` for a number c: `dx = g·c`.

use smallvec::smallvec;

use super::{
    ChainOp, Elementwise, Saves, every_kernel, scalar_attr, scalar_of, unary_apply, unary_forward, unary_kernel,
};
use crate::engine::Bound;
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise = unary_kernel!("mul_scalar", |x, a| x * a[0], Bound::ulps(1.0), |x, a| x
    .wrapping_mul(a[0]))
.chained(ChainOp::Mul, &[0]);

/// The operation `mul_scalar`.
pub(crate) static MUL_SCALAR: Operation = Operation {
    name: "mul_scalar",
    kernels: every_kernel!(FORWARD),
    forward: |call| unary_forward(call, &FORWARD, scalar_of, Saves::Nothing),
    vjp: Some(|v| {
        let (g, scalars) = (v.gradient(), scalar_of(v.attrs()));
        Ok(smallvec![Some(v.map(&FORWARD, g, scalars)?)])
    }),
    cases: || cases::with_attrs(cases::unary_numeric(cases::ANY), Attrs::new().float("other", -3.0)),
};

methods! {
    /// `self · other` for a number; also as the operator `*`. A tensor of integers takes whole numbers only.
    pub fn mul_scalar / try_mul_scalar (&self, other: f64) -> Tensor {
        unary_apply(&MUL_SCALAR, self, scalar_attr("mul_scalar", self, other)?)
    }
}
