//! With the difference `z = x − t`: `z²/(2β)` where `|z| < β` and `|z| − β/2` elsewhere, with `dx = z/β` or the sign of z, and
//! `dt = −dx`. With β = 0 it is the absolute difference.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html>

use super::l1_loss::{BETWEEN, WHOLE};
use super::{WIDE, extreme_case, loss, loss_apply, loss_cases, reduced};
use crate::Error;
use crate::engine::Bound;
use crate::ops::class_loss::Reduction;
use crate::ops::methods;
use crate::tensor::Tensor;

/// The arguments of the smooth L1 loss besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothL1LossOptions {
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// The difference from which the loss is linear.
    pub beta: f64,
}

impl Default for SmoothL1LossOptions {
    fn default() -> Self {
        SmoothL1LossOptions { reduction: Reduction::Mean, beta: 1.0 }
    }
}

fn gradient(g: f64, z: f64, beta: f64) -> f64 {
    if z.abs() >= beta { g * z.signum() } else { g * z / beta }
}

loss! {
    SMOOTH_L1_LOSS, "smooth_l1_loss",
    loss: |e, a| match (e.x - e.t).abs() {
        z if z >= a[0] => z - 0.5 * a[0],
        z => 0.5 * z * z / a[0],
    },
    // Where it is linear, a difference whose rounding may count twice; else that, a division, which Vulkan grants 2.5 ulp,
    // and a product.
    magnitude: |e, a| match (e.x - e.t).abs() {
        z if z >= a[0] => z - 0.5 * a[0],
        z => 0.5 * z * z / a[0],
    },
    ulps: 5.0,
    input: |g, e, a| gradient(g, e.x - e.t, a[0]),
    // Upstream gradient times scale, a difference, a division and a product.
    input_bound: Bound::ulps(5.0),
    target: |g, e, a| gradient(g, e.t - e.x, a[0]),
    target_bound: Bound::ulps(5.0),
    numbers: |attrs| [attrs.get_float("beta"), 0.0, 0.0],
    same_shape: false,
    cases: || {
        let mut list = loss_cases(WHOLE, BETWEEN, true, |attrs| attrs.float("beta", 1.0));
        let wide = loss_cases(WHOLE, BETWEEN, true, |attrs| attrs.float("beta", 2.3)).into_iter().take(2);
        list.extend(wide.map(|case| crate::ops::cases::Case { name: format!("{} beta", case.name), ..case }));
        list.push(extreme_case(WIDE, WIDE, reduced(Reduction::None).float("beta", 0.5)));
        list
    },
}

methods! {
    /// The mean of the differences to `target`, broadcast, squared and halved where they are below 1, and less 1/2 elsewhere.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[0.5f32, 3.0], &[2]);
    /// assert_eq!(x.smooth_l1_loss(&Tensor::zeros(&[2])).item::<f32>()?, (0.125 + 2.5) / 2.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn smooth_l1_loss / try_smooth_l1_loss (&self, target: &Tensor) -> Tensor {
        self.try_smooth_l1_loss_with(target, &SmoothL1LossOptions::default())
    }

    /// [`Self::smooth_l1_loss`] with another reduction or another place where it becomes linear.
    ///
    /// # Panics
    /// When `beta` is negative.
    pub fn smooth_l1_loss_with / try_smooth_l1_loss_with (
        &self, target: &Tensor, options: &SmoothL1LossOptions
    ) -> Tensor {
        let &SmoothL1LossOptions { reduction, beta } = options;
        if beta.is_nan() || beta < 0.0 {
            return Err(Error::argument("smooth_l1_loss", format!("beta must not be negative, it is {beta}")));
        }
        if beta as f32 == 0.0 {
            return self.try_l1_loss_with(target, reduction);
        }
        loss_apply(&SMOOTH_L1_LOSS, [self, target], (None, None), reduced(reduction).float("beta", beta))
    }
}
