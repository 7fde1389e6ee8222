//! Normalisation layers.

mod batch;
mod group;
mod layer;

pub use batch::{BatchNorm1d, BatchNorm2d};
pub use group::{GroupNorm, InstanceNorm1d, InstanceNorm2d};
pub use layer::{LayerNorm, NormalizedShape, RMSNorm};

use super::{Buffer, Parameter};
use crate::dtype::DType;
use crate::engine::Device;
use crate::tensor::Tensor;

/// Weights of 1.
fn ones(shape: &[usize], device: &Device) -> Parameter {
    Parameter::new(Tensor::full_on(shape, 1.0, DType::F32, device))
}

/// Biases of 0.
fn zeros(shape: &[usize], device: &Device) -> Parameter {
    Parameter::new(Tensor::full_on(shape, 0.0, DType::F32, device))
}

/// A buffer of one value.
fn buffer(shape: &[usize], value: f64, dtype: DType, device: &Device) -> Buffer {
    Buffer::new(Tensor::full_on(shape, value, dtype, device))
}

/// Panics at the user's line when an input has another number of dims than the layer takes.
#[track_caller]
fn check_dims(layer: &str, x: &Tensor, dims: &[usize], takes: &str) {
    if x.poison().is_none() && !dims.contains(&x.dim()) {
        panic!("{layer}: takes inputs {takes}, this one has the shape {:?}", x.shape());
    }
}

/// Panics at the user's line when an input has another number of channels than the layer.
#[track_caller]
fn check_channels(layer: &str, x: &Tensor, dim: usize, channels: usize) {
    if x.poison().is_none() && x.shape()[dim] != channels {
        panic!("{layer}: has {channels} channels, an input of shape {:?} has {}", x.shape(), x.shape()[dim]);
    }
}
