//! `xʸ`, broadcast: `dx = g·y·xʸ⁻¹`, which is 0 for y = 0, and `dy = g·xʸ·log x`, which is 0 for x = 0 and y ≥ 0.
//!
//! <https://pytorch.org/docs/stable/generated/torch.pow.html>

use super::{
    Elementwise, FLOAT, binary_backward_kernel, binary_backward_twin, binary_forward, binary_kernel, binary_twin,
    binary_vjp, every_kernel, with_floats,
};
use crate::engine::Bound;
use crate::ops::{Attrs, Operation, apply, cases, methods, single};
use crate::tensor::Tensor;

// `lg_pow` is within 2.8 ulp; the twin's own rounding adds half of one.
static FORWARD: Elementwise = binary_kernel!("pow", FLOAT, |c| binary_twin(c, f64::powf, None), Bound::ulps(4.0));
static LEFT: Elementwise = binary_backward_kernel!("pow", "left", left, LEFT_BOUND);
// The power, a logarithm within 0.89 ulp, and two products.
static RIGHT: Elementwise = binary_backward_kernel!("pow", "right", right, Bound::ulps(6.0));

/// The power and two products; y − 1 is rounded by half a unit, which the logarithm of x multiplies.
const LEFT_BOUND: Bound = Bound::Scaled {
    ulps: 5.0,
    magnitude: |c| binary_backward_twin(c, |g, x, y| left(g, x, y) * (1.0 + ((y - 1.0) * x.abs().ln()).abs())),
};

fn left(g: f64, x: f64, y: f64) -> f64 {
    if y == 0.0 { 0.0 } else { g * (y * x.powf(y - 1.0)) }
}

fn right(g: f64, x: f64, y: f64) -> f64 {
    if x == 0.0 && y >= 0.0 { 0.0 } else { g * (x.powf(y) * x.ln()) }
}

/// The operation `pow`.
pub(crate) static POW: Operation = Operation {
    name: "pow",
    kernels: every_kernel!(FORWARD, LEFT, RIGHT),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, true),
    vjp: Some(|v| binary_vjp(v, &LEFT, &RIGHT)),
    cases: || {
        use cases::{Case, Fill, Input};
        let mut list = cases::binary(cases::POSITIVE);
        let bases = Input::floats(&[4, 1]).fill(Fill::Values(&[-2.0, -0.5, 1.5, 3.0]));
        let exponents = Input::floats(&[6]).fill(Fill::Values(&[-3.0, -1.0, 0.0, 1.0, 2.0, 5.0])).constant();
        list.push(Case::new("whole exponents", vec![bases, exponents.clone()]));
        let zeros = Input::floats(&[2, 1]).fill(Fill::Values(&[0.0, -0.0]));
        list.push(Case::new("base 0", vec![zeros, exponents]).no_gradcheck());
        list
    },
};

methods! {
    /// Each element to the power of that of `exponent`, broadcast. Integers become floats first.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[2.0f32, 9.0], &[2]).pow(&Tensor::from_slice(&[3.0f32, 0.5], &[2]));
    /// assert_eq!(y.to_vec::<f32>()?, [8.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn pow / try_pow (&self, exponent: &Tensor) -> Tensor {
        let (x, y) = with_floats(self, exponent)?;
        single(apply(&POW, &[&x, &y], Attrs::new()))
    }
}
