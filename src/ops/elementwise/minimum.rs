//! The smaller of x and y, broadcast; NaN if either is NaN. The gradient goes to the smaller one, of equal ones half to each.
//!
//! <https://pytorch.org/docs/stable/generated/torch.minimum.html>

use super::maximum::{cases_with_ties, share};
use super::{
    ChainOp, Elementwise, NUMERIC, binary_apply, binary_backward_kernel, binary_forward, binary_kernel, binary_twin,
    binary_vjp, every_kernel,
};
use crate::engine::Bound;
use crate::ops::{Operation, methods};
use crate::tensor::Tensor;

static FORWARD: Elementwise =
    binary_kernel!("minimum", NUMERIC, |c| binary_twin(c, minimum, Some(|x, y| x.min(y))), Bound::Exact)
        .chained(ChainOp::Minimum, &[0, 1]);
static LEFT: Elementwise = binary_backward_kernel!("minimum", "left", |g, x, y| share(g, x > y, x == y), Bound::Exact);
static RIGHT: Elementwise =
    binary_backward_kernel!("minimum", "right", |g, x, y| share(g, x < y, x == y), Bound::Exact);

fn minimum(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { x.min(y) }
}

/// The operation `minimum`.
pub(crate) static MINIMUM: Operation = Operation {
    name: "minimum",
    kernels: every_kernel!(FORWARD, LEFT, RIGHT),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, true),
    vjp: Some(|v| binary_vjp(v, &LEFT, &RIGHT)),
    cases: cases_with_ties,
};

methods! {
    /// The smaller of these elements and those of `other`, broadcast; NaN if either is.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (x, y) = (Tensor::from_slice(&[1.0f32, 5.0], &[2]), Tensor::scalar(3.0));
    /// assert_eq!(x.minimum(&y).to_vec::<f32>()?, [1.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn minimum / try_minimum (&self, other: &Tensor) -> Tensor {
        binary_apply(&MINIMUM, self, other)
    }
}
