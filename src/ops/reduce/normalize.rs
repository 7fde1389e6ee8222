//! Vectors of length 1, and what is measured between vectors. Composed of [`Tensor::norm`] and elementwise operations.

use crate::ops::methods;
use crate::tensor::Tensor;

methods! {
    /// Divides the vectors along a dim by their p-norm, or by `eps` where that is larger. PyTorch's defaults are p = 2,
    /// dim 1 and 1e-12. <https://pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html>
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3.0f32, 4.0, 0.0, 0.0], &[2, 2]);
    /// assert_eq!(x.normalize(2.0, 1, 1e-12).to_vec::<f32>()?, [0.6, 0.8, 0.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist, or the elements are not floats.
    pub fn normalize / try_normalize (&self, p: f64, dim: i64, eps: f64) -> Tensor {
        self.try_div(&self.try_norm(p, &[dim], true)?.try_clamp(Some(eps), None)?)
    }

    /// The cosine of the angle between the vectors of two tensors along a dim; lengths below `eps` count as `eps`.
    /// PyTorch's defaults are dim 1 and 1e-8.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html>
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (a, b) = (Tensor::from_slice(&[1.0f32, 0.0], &[2]), Tensor::from_slice(&[3.0f32, 4.0], &[2]));
    /// assert_eq!(a.cosine_similarity(&b, 0, 1e-8).item::<f32>()?, 0.6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not broadcast, the dim does not exist, or the elements are not floats.
    pub fn cosine_similarity / try_cosine_similarity (&self, other: &Tensor, dim: i64, eps: f64) -> Tensor {
        // A dim counts from the end of the shape that both broadcast to.
        let shape = crate::tensor::shape::broadcast("cosine_similarity", self.shape(), other.shape())?;
        let (a, b) = (self.try_expand(&shape[..])?, other.try_expand(&shape[..])?);
        a.try_normalize(2.0, dim, eps)?.try_mul(&b.try_normalize(2.0, dim, eps)?)?.try_sum_dims(&[dim], false)
    }

    /// The p-norm of the difference of the vectors of two tensors along the last dim, with `eps` added to every difference.
    /// PyTorch's defaults are p = 2 and 1e-6.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.pairwise_distance.html>
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (a, b) = (Tensor::from_slice(&[1.0f32, 5.0], &[2]), Tensor::from_slice(&[4.0f32, 1.0], &[2]));
    /// assert_eq!(a.pairwise_distance(&b, 2.0, 0.0, false).item::<f32>()?, 5.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not broadcast, or the elements are not floats.
    pub fn pairwise_distance / try_pairwise_distance (
        &self, other: &Tensor, p: f64, eps: f64, keepdim: bool
    ) -> Tensor {
        self.try_sub(other)?.try_add_scalar(eps)?.try_norm(p, &[-1], keepdim)
    }
}
