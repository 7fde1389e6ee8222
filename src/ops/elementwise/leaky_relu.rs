//! `x` above 0 and `a·x` elsewhere, with derivatives 1 and a.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html>

use super::{ChainOp, unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    LEAKY_RELU, "leaky_relu",
    forward: |x, a| if x > 0.0 { x } else { a[0] * x },
    bound: Bound::ulps(1.0),
    saves: Input,
    scalars: |attrs| [attrs.get_float("negative_slope"), 0.0, 0.0, 0.0],
    backward: |g, x, a| if x > 0.0 { g } else { a[0] * g },
    backward_bound: Bound::ulps(1.0),
    chained: (ChainOp::Leak, &[0, 0]),
    chained_backward: (ChainOp::Leak, &[0, 1]),
    cases: || cases::with_attrs(cases::unary(cases::AWAY_FROM_ZERO), attrs(0.01)),
}

fn attrs(negative_slope: f64) -> Attrs {
    Attrs::new().float("negative_slope", negative_slope)
}

methods! {
    /// `x` above 0 and `negative_slope·x` elsewhere. PyTorch's default slope is 0.01.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1.0f32, 0.0, 2.0], &[3]).leaky_relu(0.25);
    /// assert_eq!(y.to_vec::<f32>()?, [-0.25, 0.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn leaky_relu / try_leaky_relu (&self, negative_slope: f64) -> Tensor {
        unary_apply(&LEAKY_RELU, self, attrs(negative_slope))
    }
}
