//! Losses by the distance between two tensors, made of other operations.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html>

use super::class_loss::Reduction;
use super::methods;
use crate::tensor::Tensor;

methods! {
    /// The mean of the squared differences to `target`, broadcast.
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
        super::matmul::check_floats("mse_loss", &[self, target])?;
        reduction.apply(&self.try_sub(target)?.try_square()?)
    }

    /// The mean of the absolute differences to `target`, broadcast.
    pub fn l1_loss / try_l1_loss (&self, target: &Tensor) -> Tensor {
        self.try_l1_loss_with(target, Reduction::Mean)
    }

    /// The absolute differences to `target`, broadcast, reduced as asked.
    pub fn l1_loss_with / try_l1_loss_with (&self, target: &Tensor, reduction: Reduction) -> Tensor {
        super::matmul::check_floats("l1_loss", &[self, target])?;
        reduction.apply(&self.try_sub(target)?.try_abs()?)
    }
}
