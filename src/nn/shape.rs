//! Layers that change no element.

use super::{Forward, Module, stateless};
use crate::tensor::{IntoShape, Tensor};

stateless! {
    /// The input itself: a place for a layer. <https://pytorch.org/docs/stable/generated/torch.nn.Identity.html>
    Identity => |x| x.clone();
}

/// Splits a dim into several: the opposite of [`super::Flatten`].
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.Unflatten.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::Unflatten::new(1, [2, -1, 5]);
/// assert_eq!(layer.call(&Tensor::zeros(&[3, 50])).shape(), [3, 2, 5, 5]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Module)]
pub struct Unflatten {
    #[module(skip)]
    dim: i64,
    #[module(skip)]
    sizes: Vec<i64>,
}

impl Unflatten {
    /// Splits `dim` into these sizes, of which one may be −1.
    pub fn new(dim: i64, unflattened_size: impl IntoShape) -> Self {
        Unflatten { dim, sizes: unflattened_size.into_sizes() }
    }
}

impl Forward for Unflatten {
    type Output = Tensor;

    /// # Panics
    /// When the sizes do not fit the dim.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.unflatten(self.dim, &self.sizes)
    }
}
