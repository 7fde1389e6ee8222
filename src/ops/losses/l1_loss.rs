//! The absolute difference `|x − t|`, with `dx` the sign of `x − t`, 0 where both are equal, and `dt = −dx`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html>

use super::{extreme_case, loss, loss_apply, loss_cases, reduced};
use crate::engine::Bound;
use crate::ops::class_loss::Reduction;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

/// The gradient towards the larger of both; none for NaN, as in PyTorch.
fn towards(g: f64, from: f64, to: f64) -> f64 {
    if from > to {
        g
    } else if from < to {
        -g
    } else {
        0.0
    }
}

loss! {
    L1_LOSS, "l1_loss",
    loss: |e, _| (e.x - e.t).abs(),
    magnitude: |e, _| (e.x - e.t).abs(),
    // A difference and a product.
    ulps: 1.0,
    input: |g, e, _| towards(g, e.x, e.t),
    // Upstream gradient times scale.
    input_bound: Bound::ulps(1.0),
    target: |g, e, _| towards(g, e.t, e.x),
    target_bound: Bound::ulps(1.0),
    same_shape: false,
    cases: || {
        let mut list = loss_cases(WHOLE, BETWEEN, true, |attrs| attrs);
        list.push(extreme_case(cases::EXTREME, cases::EXTREME, reduced(Reduction::None)));
        list
    },
}

/// Inputs that are whole, so never near a target of [`BETWEEN`].
pub(super) const WHOLE: cases::Fill = cases::Fill::Whole(-3, 4);
/// Targets at least 1/8 from each whole number.
pub(super) const BETWEEN: cases::Fill = cases::Fill::Values(&[0.5, -0.25, 1.375, -1.5]);

methods! {
    /// The mean of the absolute differences to `target`, broadcast.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.l1_loss(&Tensor::from_slice(&[0.0f32, 5.0], &[2])).item::<f32>()?, 2.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn l1_loss / try_l1_loss (&self, target: &Tensor) -> Tensor {
        self.try_l1_loss_with(target, Reduction::Mean)
    }

    /// The absolute differences to `target`, broadcast, reduced as asked.
    pub fn l1_loss_with / try_l1_loss_with (&self, target: &Tensor, reduction: Reduction) -> Tensor {
        loss_apply(&L1_LOSS, [self, target], (None, None), reduced(reduction))
    }
}
