//! What is measured between vectors, as layers.

use super::{Forward, Module};
use crate::tensor::Tensor;

/// The cosine of the angle between the vectors of two tensors along a dim.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.CosineSimilarity.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let (x, y) = (Tensor::from_slice(&[1.0f32, 0.0], &[1, 2]), Tensor::from_slice(&[3.0f32, 4.0], &[1, 2]));
/// assert_eq!(nn::CosineSimilarity::new().call(&(x, y)).to_vec::<f32>()?, [0.6]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Module)]
pub struct CosineSimilarity {
    #[module(skip)]
    dim: i64,
    #[module(skip)]
    eps: f64,
}

impl CosineSimilarity {
    /// Along dim 1.
    pub fn new() -> Self {
        CosineSimilarity { dim: 1, eps: 1e-8 }
    }

    /// The dim of the vectors.
    pub fn dim(self, dim: i64) -> Self {
        CosineSimilarity { dim, ..self }
    }

    /// The length that shorter vectors are taken for; 10⁻⁸ if not set.
    pub fn eps(self, eps: f64) -> Self {
        CosineSimilarity { eps, ..self }
    }
}

impl Default for CosineSimilarity {
    fn default() -> Self {
        Self::new()
    }
}

impl Forward<(Tensor, Tensor)> for CosineSimilarity {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, (x, y): &(Tensor, Tensor)) -> Tensor {
        x.cosine_similarity(y, self.dim, self.eps)
    }
}

/// The distance between the rows of two tensors: the norm of their difference along the last dim.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.PairwiseDistance.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let (x, y) = (Tensor::from_slice(&[3.0f32, 0.0], &[1, 2]), Tensor::from_slice(&[0.0f32, 4.0], &[1, 2]));
/// assert_eq!(nn::PairwiseDistance::new().eps(0.0).call(&(x, y)).to_vec::<f32>()?, [5.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Module)]
pub struct PairwiseDistance {
    #[module(skip)]
    p: f64,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    keepdim: bool,
}

impl PairwiseDistance {
    /// The Euclidean distance.
    pub fn new() -> Self {
        PairwiseDistance { p: 2.0, eps: 1e-6, keepdim: false }
    }

    /// The power of the norm; 2 if not set.
    pub fn p(self, p: f64) -> Self {
        PairwiseDistance { p, ..self }
    }

    /// What is added to every difference; 10⁻⁶ if not set.
    pub fn eps(self, eps: f64) -> Self {
        PairwiseDistance { eps, ..self }
    }

    /// Whether the last dim is left with size 1; it is not if not set.
    pub fn keepdim(self, keepdim: bool) -> Self {
        PairwiseDistance { keepdim, ..self }
    }
}

impl Default for PairwiseDistance {
    fn default() -> Self {
        Self::new()
    }
}

impl Forward<(Tensor, Tensor)> for PairwiseDistance {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, (x, y): &(Tensor, Tensor)) -> Tensor {
        x.pairwise_distance(y, self.p, self.eps, self.keepdim)
    }
}
