//! `x / c` for a number c: `dx = g/c`.

use smallvec::smallvec;

use super::{ChainOp, Elementwise, Saves, as_float, every_kernel, scalar_of, unary_apply, unary_forward, unary_kernel};
use crate::engine::Bound;
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

// Vulkan allows 2.5 ulp for a division.
static FORWARD: Elementwise =
    unary_kernel!("div_scalar", |x, a| x / a[0], Bound::ulps(3.0)).chained(ChainOp::Div, &[0]);

/// The operation `div_scalar`.
pub(crate) static DIV_SCALAR: Operation = Operation {
    name: "div_scalar",
    kernels: every_kernel!(FORWARD),
    forward: |call| unary_forward(call, &FORWARD, scalar_of, Saves::Nothing),
    vjp: Some(|v| {
        let (g, scalars) = (v.gradient(), scalar_of(v.attrs()));
        Ok(smallvec![Some(v.map(&FORWARD, g, scalars)?)])
    }),
    cases: || cases::with_attrs(cases::unary(cases::ANY), Attrs::new().float("other", -3.0)),
};

methods! {
    /// `self / other` for a number; also as the operator `/`. Integers become floats first.
    pub fn div_scalar / try_div_scalar (&self, other: f64) -> Tensor {
        unary_apply(&DIV_SCALAR, &as_float(self)?, Attrs::new().float("other", other))
    }
}
