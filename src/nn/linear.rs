//! Fully connected layers.

use super::{Forward, Module, Parameter, init};
use crate::engine::Device;
use crate::tensor::Tensor;

/// `y = x·Wᵀ + b` over the last dim: `[…, in_features]` to `[…, out_features]`.
///
/// `weight` is `[out_features, in_features]`, `bias` `[out_features]`; both start uniform in ±1/√in_features, which is
/// PyTorch's Kaiming initialisation with a = √5. <https://pytorch.org/docs/stable/generated/torch.nn.Linear.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::Linear::new(784, 10);
/// assert_eq!(layer.call(&Tensor::zeros(&[64, 784])).shape(), [64, 10]);
/// assert_eq!(nn::Linear::new(784, 10).bias(false).state_dict().len(), 1);
/// ```
#[derive(Clone, Debug, Module)]
pub struct Linear {
    /// The matrix.
    pub weight: Parameter,
    /// What is added.
    pub bias: Option<Parameter>,
}

/// Uniform in ±1/√in_features.
#[track_caller]
fn uniform(shape: &[usize], in_features: usize, device: &Device) -> Parameter {
    let bound = init::fan_in_bound(in_features);
    Parameter::new(Tensor::uniform_on(shape, -bound, bound, device))
}

impl Linear {
    /// A layer with bias, on the current device.
    #[track_caller]
    pub fn new(in_features: usize, out_features: usize) -> Linear {
        Self::on(in_features, out_features, true, &Device::current())
    }

    #[track_caller]
    pub(super) fn on(in_features: usize, out_features: usize, bias: bool, device: &Device) -> Linear {
        let weight = uniform(&[out_features, in_features], in_features, device);
        Linear { weight, bias: bias.then(|| uniform(&[out_features], in_features, device)) }
    }

    /// With or without a bias.
    #[track_caller]
    pub fn bias(mut self, bias: bool) -> Linear {
        let make = || uniform(&[self.out_features()], self.in_features(), self.weight.get().device());
        self.bias = if bias { self.bias.clone().or_else(|| Some(make())) } else { None };
        self
    }

    /// A layer with parameters of its own that hold the same values.
    pub(super) fn copied(&self) -> Linear {
        Linear { weight: self.weight.copied(), bias: self.bias.as_ref().map(Parameter::copied) }
    }

    /// The size of the last dim that it takes.
    pub fn in_features(&self) -> usize {
        self.weight.shape()[1]
    }

    /// The size of the last dim that it gives.
    pub fn out_features(&self) -> usize {
        self.weight.shape()[0]
    }
}

impl Forward for Linear {
    type Output = Tensor;

    /// # Panics
    /// When the last dim of `x` is not `in_features`.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(Parameter::get);
        x.linear(&self.weight.get(), bias.as_ref())
    }
}

/// Merges the dims from `start_dim` to `end_dim`: `[N, C, H, W]` to `[N, C·H·W]` by default.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.Flatten.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
pub struct Flatten {
    #[module(skip)]
    start_dim: i64,
    #[module(skip)]
    end_dim: i64,
}

impl Flatten {
    /// All dims but the first.
    pub fn new() -> Flatten {
        Flatten::dims(1, -1)
    }

    /// These dims, both included.
    pub fn dims(start_dim: i64, end_dim: i64) -> Flatten {
        Flatten { start_dim, end_dim }
    }
}

impl Default for Flatten {
    fn default() -> Self {
        Flatten::new()
    }
}

impl Forward for Flatten {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.flatten(self.start_dim, self.end_dim)
    }
}
