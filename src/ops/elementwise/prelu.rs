//! `x` above 0 and `w·x` elsewhere with a trained slope w: `dx = g` or `w·g`, `dw = 0` or `x·g`, summed in a fixed order over
//! the elements that share a slope (He, Zhang, Ren and Sun 2015).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.prelu.html>

use super::{
    Elementwise, FLOAT, binary_backward_kernel, binary_forward, binary_kernel, binary_twin, binary_vjp, every_kernel,
};
use crate::Error;
use crate::engine::Bound;
use crate::ops::{Attrs, Operation, apply, cases, methods, single};
use crate::tensor::{Shape, Tensor};

fn forward(x: f64, w: f64) -> f64 {
    if x > 0.0 { x } else { w * x }
}

// One product each.
static FORWARD: Elementwise = binary_kernel!("prelu", FLOAT, |c| binary_twin(c, forward, None), Bound::ulps(1.0));
static LEFT: Elementwise =
    binary_backward_kernel!("prelu", "left", |g, x, w| if x > 0.0 { g } else { w * g }, Bound::ulps(1.0));
static RIGHT: Elementwise =
    binary_backward_kernel!("prelu", "right", |g, x, _| if x > 0.0 { 0.0 } else { x * g }, Bound::ulps(1.0));

/// The operation `prelu`: inputs x and the slopes, broadcast.
pub(crate) static PRELU: Operation = Operation {
    name: "prelu",
    kernels: every_kernel!(FORWARD, LEFT, RIGHT),
    forward: |call| binary_forward(call, &FORWARD, |dtype| dtype, true),
    vjp: Some(|v| binary_vjp(v, &LEFT, &RIGHT)),
    cases: || cases::binary(cases::AWAY_FROM_ZERO),
};

methods! {
    /// `x` above 0 and `weight·x` elsewhere: the slope is one number, `[1]`, or one for each channel, `[C]`, where the channels
    /// are dim 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-2.0f32, 4.0, -2.0, 4.0], &[2, 2]);
    /// let y = x.prelu(&Tensor::from_slice(&[0.25f32, 0.5], &[2]));
    /// assert_eq!(y.to_vec::<f32>()?, [-0.5, 4.0, -0.5, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there are neither one slope nor as many as channels.
    pub fn prelu / try_prelu (&self, weight: &Tensor) -> Tensor {
        let channels = if self.dim() > 1 { self.shape()[1] } else { 1 };
        let slopes = weight.numel();
        if weight.dim() > 1 || (slopes != 1 && (slopes != channels || self.dim() == 0)) {
            let (x, w) = (self.shape(), weight.shape());
            let detail = format!("an input of shape {x:?} needs a weight of shape [1] or [{channels}], it has {w:?}");
            return Err(Error::shape("prelu", detail));
        }
        let mut shape: Shape = std::iter::repeat_n(1, self.dim()).collect();
        if self.dim() > 1 {
            shape[1] = slopes;
        }
        single(apply(&PRELU, &[self, &weight.try_reshape(&shape)?], Attrs::new()))
    }
}
