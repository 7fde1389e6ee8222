//! Norms over the last dims.

use smallvec::SmallVec;

use super::{ones, zeros};
use crate::engine::Device;
use crate::nn::parameter::device_of;
use crate::nn::{Forward, Module, Parameter};
use crate::tensor::{Shape, Tensor};

/// The last dims that a layer normalises over: one size, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalizedShape(Shape);

impl From<usize> for NormalizedShape {
    fn from(size: usize) -> Self {
        NormalizedShape(SmallVec::from_slice(&[size]))
    }
}

impl From<&[usize]> for NormalizedShape {
    fn from(sizes: &[usize]) -> Self {
        NormalizedShape(sizes.into())
    }
}

impl<const N: usize> From<[usize; N]> for NormalizedShape {
    fn from(sizes: [usize; N]) -> Self {
        NormalizedShape(sizes.as_slice().into())
    }
}

impl<const N: usize> From<&[usize; N]> for NormalizedShape {
    fn from(sizes: &[usize; N]) -> Self {
        NormalizedShape(sizes.as_slice().into())
    }
}

/// Normalises the last dims of each sample by their own mean and variance; see [`Tensor::layer_norm`].
///
/// `weight` and `bias` have the shape of those dims and start as 1 and 0.
/// <https://pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::LayerNorm::new(10);
/// assert_eq!(layer.call(&Tensor::randn(&[20, 5, 10])).shape(), [20, 5, 10]);
/// let images = nn::LayerNorm::new([3, 8, 8]).bias(false);
/// assert_eq!(images.state_dict().len(), 1);
/// ```
#[derive(Clone, Debug, Module)]
pub struct LayerNorm {
    /// Factors; none without `elementwise_affine`.
    pub weight: Option<Parameter>,
    /// What is added; none without `elementwise_affine` or `bias`.
    pub bias: Option<Parameter>,
    #[module(skip)]
    with_bias: bool,
    #[module(skip)]
    normalized_shape: NormalizedShape,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// Over these last dims, with PyTorch's defaults, on the current device.
    #[track_caller]
    pub fn new(normalized_shape: impl Into<NormalizedShape>) -> Self {
        Self::on(normalized_shape, &Device::current())
    }

    #[track_caller]
    pub(in crate::nn) fn on(normalized_shape: impl Into<NormalizedShape>, device: &Device) -> Self {
        let normalized_shape = normalized_shape.into();
        let (weight, bias) = (ones(&normalized_shape.0, device), zeros(&normalized_shape.0, device));
        LayerNorm { weight: Some(weight), bias: Some(bias), with_bias: true, normalized_shape, eps: 1e-5 }
    }

    /// What is added to the variance; 1e-5 unless said otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Whether there are weight and, unless [`Self::bias`] says otherwise, bias, made anew as 1 and 0.
    #[track_caller]
    pub fn elementwise_affine(mut self, affine: bool) -> Self {
        let (shape, device) = (&self.normalized_shape.0, device_of(&self));
        self.weight = affine.then(|| ones(shape, &device));
        self.bias = (affine && self.with_bias).then(|| zeros(shape, &device));
        self
    }

    /// A layer with parameters of its own that hold the same values.
    pub(in crate::nn) fn copied(&self) -> LayerNorm {
        let copied = |p: &Option<Parameter>| p.as_ref().map(Parameter::copied);
        LayerNorm { weight: copied(&self.weight), bias: copied(&self.bias), ..self.clone() }
    }

    /// Whether there is a bias beside the weight, made anew as 0; without `elementwise_affine` there is none.
    #[track_caller]
    pub fn bias(mut self, bias: bool) -> Self {
        let device = device_of(&self);
        self.with_bias = bias;
        self.bias = (bias && self.weight.is_some()).then(|| zeros(&self.normalized_shape.0, &device));
        self
    }
}

impl Forward for LayerNorm {
    type Output = Tensor;

    /// # Panics
    /// When the input does not end with the layer's dims.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (self.weight.as_ref().map(Parameter::get), self.bias.as_ref().map(Parameter::get));
        x.layer_norm(&self.normalized_shape.0, weight.as_ref(), bias.as_ref(), self.eps)
    }
}

/// Divides the last dims of each sample by the root of the mean of their squares; see [`Tensor::rms_norm`].
///
/// `weight` has the shape of those dims and starts as 1.
/// <https://pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::RMSNorm::new(10).eps(1e-6);
/// assert_eq!(layer.call(&Tensor::randn(&[20, 5, 10])).shape(), [20, 5, 10]);
/// ```
#[derive(Clone, Debug, Module)]
pub struct RMSNorm {
    /// Factors; none without `elementwise_affine`.
    pub weight: Option<Parameter>,
    #[module(skip)]
    normalized_shape: NormalizedShape,
    #[module(skip)]
    eps: Option<f64>,
}

impl RMSNorm {
    /// Over these last dims, with PyTorch's defaults, on the current device.
    #[track_caller]
    pub fn new(normalized_shape: impl Into<NormalizedShape>) -> Self {
        let layer = RMSNorm { weight: None, normalized_shape: normalized_shape.into(), eps: None };
        layer.elementwise_affine(true)
    }

    /// What is added to the mean of the squares; f32's 2⁻²³ unless said otherwise.
    pub fn eps(mut self, eps: impl Into<Option<f64>>) -> Self {
        self.eps = eps.into();
        self
    }

    /// Whether there is a weight, made anew as 1.
    #[track_caller]
    pub fn elementwise_affine(mut self, affine: bool) -> Self {
        let device = device_of(&self);
        self.weight = affine.then(|| ones(&self.normalized_shape.0, &device));
        self
    }
}

impl Forward for RMSNorm {
    type Output = Tensor;

    /// # Panics
    /// When the input does not end with the layer's dims.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Parameter::get);
        x.rms_norm(&self.normalized_shape.0, weight.as_ref(), self.eps)
    }
}
