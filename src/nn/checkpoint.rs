//! A module that is run again in the backward pass.

use std::sync::Arc;

use super::{Forward, Module, Visitor};
use crate::autograd::checkpoint;
use crate::tensor::Tensor;

/// A module whose intermediate results are not kept for the gradient but computed again; see [`checkpoint`].
///
/// It has the parameters, names and paths of the module in it.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let block = || nn::Sequential::new().add(nn::Linear::new(8, 8)).add(nn::ReLU).add(nn::Dropout::new(0.1));
/// let net = nn::Sequential::new().add(nn::Checkpoint::new(block())).add(nn::Checkpoint::new(block()));
/// net.call(&Tensor::ones(&[4, 8])).sum().backward()?;
/// assert!(net.parameters().iter().all(|p| p.grad().is_some()));
/// assert_eq!(net.named_parameters()[0].0, "0.0.weight");
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint<M>(Arc<M>);

impl<M> Checkpoint<M> {
    /// With this module in it.
    pub fn new(module: M) -> Self {
        Checkpoint(Arc::new(module))
    }
}

impl<M> Clone for Checkpoint<M> {
    fn clone(&self) -> Self {
        Checkpoint(self.0.clone())
    }
}

impl<M> std::ops::Deref for Checkpoint<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M: Module> Module for Checkpoint<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }

    fn concrete(&self) -> &dyn Module {
        self.0.concrete()
    }
}

impl<M: Forward<Tensor, Output = Tensor>> Forward for Checkpoint<M> {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let module = self.0.clone();
        checkpoint(move |inputs| module.call(&inputs[0]), &[x])
    }

    // The frame is the inner module's.
    #[track_caller]
    fn call(&self, x: &Tensor) -> Tensor {
        self.forward(x)
    }
}
