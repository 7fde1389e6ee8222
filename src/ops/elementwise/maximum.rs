//! The larger of x and y, broadcast; NaN if either is NaN. The gradient goes to the larger one, of equal ones half to each.
//!
//! <https://pytorch.org/docs/stable/generated/torch.maximum.html>

use super::{
    ChainOp, Elementwise, NUMERIC, binary_apply, binary_backward_kernel, binary_forward, binary_kernel, binary_twin,
    binary_vjp, every_kernel,
};
use crate::engine::Bound;
use crate::ops::{Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise =
    binary_kernel!("maximum", NUMERIC, |c| binary_twin(c, maximum, Some(|x, y| x.max(y))), Bound::Exact)
        .chained(ChainOp::Maximum, &[0, 1]);
static LEFT: Elementwise = binary_backward_kernel!("maximum", "left", |g, x, y| share(g, x < y, x == y), Bound::Exact);
static RIGHT: Elementwise =
    binary_backward_kernel!("maximum", "right", |g, x, y| share(g, x > y, x == y), Bound::Exact);

fn maximum(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { x.max(y) }
}

/// The gradient of an operand, for `minimum` too. With NaN it has neither lost nor is it equal, and both get all of it, as in PyTorch.
pub(super) fn share(g: f64, lost: bool, tie: bool) -> f64 {
    match (lost, tie) {
        (true, _) => 0.0,
        (_, true) => g / 2.0,
        _ => g,
    }
}

/// The operation `maximum`.
pub(crate) static MAXIMUM: Operation = Operation {
    name: "maximum",
    kernels: every_kernel!(FORWARD, LEFT, RIGHT),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, true),
    vjp: Some(|v| binary_vjp(v, &LEFT, &RIGHT)),
    cases: cases_with_ties,
};

/// For `minimum` too.
pub(super) fn cases_with_ties() -> Vec<cases::Case> {
    let mut list = cases::binary_numeric();
    let whole = |shape: &[usize]| cases::Input::floats(shape).fill(cases::Fill::Whole(-2, 3));
    list.push(cases::Case::new("ties", vec![whole(&[4, 6]), whole(&[6])]).no_gradcheck());
    list
}

methods! {
    /// The larger of these elements and those of `other`, broadcast; NaN if either is.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (x, y) = (Tensor::from_slice(&[1.0f32, 5.0], &[2]), Tensor::scalar(3.0));
    /// assert_eq!(x.maximum(&y).to_vec::<f32>()?, [3.0, 5.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn maximum / try_maximum (&self, other: &Tensor) -> Tensor {
        binary_apply(&MAXIMUM, self, other)
    }
}
