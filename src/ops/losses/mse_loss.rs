//! The squared difference `(x − t)²`, with `dx = 2(x − t)` and `dt = −dx`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html>

use super::{WIDE, extreme_case, loss, loss_apply, loss_cases, reduced};
use crate::engine::Bound;
use crate::ops::class_loss::Reduction;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

loss! {
    MSE_LOSS, "mse_loss",
    loss: |e, _| (e.x - e.t).powi(2),
    magnitude: |e, _| (e.x - e.t).powi(2),
    // A difference, which counts twice, and a product.
    ulps: 2.0,
    input: |g, e, _| 2.0 * g * (e.x - e.t),
    // Upstream gradient times scale, a difference and a product.
    input_bound: Bound::ulps(2.0),
    target: |g, e, _| 2.0 * g * (e.t - e.x),
    target_bound: Bound::ulps(2.0),
    same_shape: false,
    cases: || {
        let mut list = loss_cases(cases::ANY, cases::POSITIVE, true, |attrs| attrs);
        list.push(extreme_case(WIDE, WIDE, reduced(Reduction::None)));
        list
    },
}

methods! {
    /// The mean of the squared differences to `target`, broadcast.
    ///
    /// A target of another shape is hardly ever meant: as in PyTorch a warning names it, in the log and once a line.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.mse_loss(&Tensor::from_slice(&[0.0f32, 5.0], &[2])).item::<f32>()?, 5.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn mse_loss / try_mse_loss (&self, target: &Tensor) -> Tensor {
        self.try_mse_loss_with(target, Reduction::Mean)
    }

    /// The squared differences to `target`, broadcast, reduced as asked.
    pub fn mse_loss_with / try_mse_loss_with (&self, target: &Tensor, reduction: Reduction) -> Tensor {
        loss_apply(&MSE_LOSS, [self, target], (None, None), reduced(reduction))
    }
}
