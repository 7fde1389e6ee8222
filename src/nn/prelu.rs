//! Activations with a slope that is trained or drawn.

use super::{Forward, Module, Parameter, Training};
use crate::tensor::Tensor;

/// `x` above 0 and `weight·x` elsewhere, with a trained slope: one, or one for each channel (dim 1).
///
/// `weight` is `[num_parameters]` and starts at 0.25. PyTorch's advice is to train it without weight decay.
/// <https://pytorch.org/docs/stable/generated/torch.nn.PReLU.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::PReLU::new().num_parameters(3);
/// let y = layer.call(&Tensor::full(&[1, 3, 2], -4.0));
/// assert_eq!(y.to_vec::<f32>()?, [-1.0; 6]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
pub struct PReLU {
    /// The slopes.
    pub weight: Parameter,
}

impl PReLU {
    /// One slope for all channels, 0.25, on the current device.
    #[track_caller]
    pub fn new() -> Self {
        PReLU { weight: Parameter::new(Tensor::full(&[1], 0.25)) }
    }

    /// As many slopes; makes them anew with the first one's starting value.
    #[track_caller]
    pub fn num_parameters(self, num_parameters: usize) -> Self {
        let first = self.weight.get().detach();
        let start = if first.numel() == 0 { Tensor::full(&[1], 0.25) } else { first.narrow(0, 0, 1) };
        PReLU { weight: Parameter::new(start.expand([num_parameters]).copy()) }
    }

    /// The value that the slopes start from.
    #[track_caller]
    pub fn init(self, init: f64) -> Self {
        let weight = self.weight.get();
        PReLU { weight: Parameter::new(Tensor::full_on(weight.shape(), init, weight.dtype(), weight.device())) }
    }
}

impl Default for PReLU {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Forward for PReLU {
    type Output = Tensor;

    /// # Panics
    /// When there are neither one slope nor as many as channels.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.prelu(&self.weight.get())
    }
}

/// A leaky ReLU whose slopes are drawn evenly from a range while training, and are its middle otherwise.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.RReLU.html>
#[derive(Clone, Debug, Module)]
pub struct RReLU {
    #[module(skip)]
    lower: f64,
    #[module(skip)]
    upper: f64,
    training: Training,
}

impl RReLU {
    /// Slopes from 1/8 to 1/3.
    pub fn new() -> Self {
        RReLU { lower: 1.0 / 8.0, upper: 1.0 / 3.0, training: Training::new() }
    }

    /// The smallest slope.
    pub fn lower(self, lower: f64) -> Self {
        RReLU { lower, ..self }
    }

    /// The largest slope.
    pub fn upper(self, upper: f64) -> Self {
        RReLU { upper, ..self }
    }
}

impl Default for RReLU {
    fn default() -> Self {
        Self::new()
    }
}

impl Forward for RReLU {
    type Output = Tensor;

    /// # Panics
    /// When `lower` is above `upper`.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.rrelu(self.lower, self.upper, self.training.is_training())
    }
}
