//! Layers one after the other.

use super::{Forward, Layer, Module, Visitor};
use crate::tensor::Tensor;

/// Layers that each take what the one before gives.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let stack = nn::Sequential::new()
///     .add(nn::Flatten::new())
///     .add(nn::Linear::new(28 * 28, 512))
///     .add(nn::ReLU)
///     .add(nn::Linear::new(512, 10));
/// assert_eq!(stack.call(&Tensor::zeros(&[3, 1, 28, 28])).shape(), [3, 10]);
/// assert!(stack.state_dict().get("1.weight").is_some());
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Layer>>);

impl Sequential {
    /// Without layers: gives back its input.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another layer at the end.
    #[expect(clippy::should_implement_trait, reason = "PyTorch users add layers, and nothing here is a sum")]
    pub fn add(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The layers.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Layer> {
        self.0.iter().map(|layer| &**layer)
    }
}

impl From<Vec<Box<dyn Layer>>> for Sequential {
    fn from(layers: Vec<Box<dyn Layer>>) -> Self {
        Sequential(layers)
    }
}

impl Module for Sequential {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }
}

impl Forward for Sequential {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.iter().fold(x.clone(), |x, layer| layer.call(&x))
    }
}
