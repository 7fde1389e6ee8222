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

/// Options of a layer with a weight and a bias for each channel, whose number is in this field.
macro_rules! affine_options {
    ($channels:ident) => {
        /// What is added to the variance; 1e-5 unless said otherwise.
        pub fn eps(mut self, eps: f64) -> Self {
            self.eps = eps;
            self
        }

        /// Whether there are weight and, unless [`Self::bias`] says otherwise, bias, made anew as 1 and 0.
        #[track_caller]
        pub fn affine(mut self, affine: bool) -> Self {
            let (shape, device) = ([self.$channels], crate::nn::parameter::device_of(&self));
            self.weight = affine.then(|| super::ones(&shape, &device));
            self.bias = (affine && self.with_bias).then(|| super::zeros(&shape, &device));
            self
        }

        /// Whether there is a bias beside the weight, made anew as 0; without `affine` there is none.
        #[track_caller]
        pub fn bias(mut self, bias: bool) -> Self {
            let device = crate::nn::parameter::device_of(&self);
            self.with_bias = bias;
            self.bias = (bias && self.weight.is_some()).then(|| super::zeros(&[self.$channels], &device));
            self
        }
    };
}
use affine_options;

/// The option of a layer with running statistics of `num_features` channels.
macro_rules! running_statistics_option {
    ($(#[$meta:meta])*) => {
        $(#[$meta])*
        #[track_caller]
        pub fn track_running_stats(mut self, track: bool) -> Self {
            let (shape, device) = ([self.num_features], crate::nn::parameter::device_of(&self));
            self.running_mean = track.then(|| super::buffer(&shape, 0.0, crate::DType::F32, &device));
            self.running_var = track.then(|| super::buffer(&shape, 1.0, crate::DType::F32, &device));
            self.num_batches_tracked = track.then(|| super::buffer(&[], 0.0, crate::DType::I32, &device));
            self
        }
    };
}
use running_statistics_option;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Forward, Module};

    fn names(module: &dyn Module) -> Vec<String> {
        module.named_parameters().into_iter().map(|(name, _)| name).collect()
    }

    /// Whether the biases came before the weights or after them does not matter.
    #[test]
    fn without_a_bias_there_is_no_key_of_one() {
        Device::reference().scope(|| {
            let x = Tensor::randn(&[4, 2, 3]);
            macro_rules! check {
                ($new:expr, $affine:ident) => {{
                    let (before, after) = ($new.bias(false).$affine(true), $new.$affine(true).bias(false));
                    assert_eq!(
                        (names(&before), names(&after)),
                        (vec!["weight".to_string()], vec!["weight".to_string()])
                    );
                    assert!(names(&$new.$affine(false).bias(true)).is_empty());
                    assert_eq!(names(&before.$affine(false).bias(true).$affine(true)), ["weight", "bias"]);
                    // A bias of 0 changes nothing.
                    let want = $new.$affine(true).call(&x).to_vec::<f32>().unwrap();
                    assert_eq!(after.call(&x).to_vec::<f32>().unwrap(), want);
                }};
            }
            check!(BatchNorm1d::new(2), affine);
            check!(InstanceNorm1d::new(2), affine);
            check!(GroupNorm::new(1, 2), affine);
            check!(LayerNorm::new(3), elementwise_affine);
        });
    }

    #[test]
    fn builders_stay_on_the_layers_device() {
        let (own, other) = (Device::new_reference(true), Device::reference());
        macro_rules! check {
            ($($new:expr => $($builder:ident),*;)*) => {$(
                let layer = own.scope(|| $new);
                other.scope(|| {
                    let layer = layer$(.$builder(true))*;
                    let all = layer.state_dict();
                    assert!(all.iter().all(|(_, t)| t.device() == &own), stringify!($new));
                });
            )*};
        }
        check! {
            BatchNorm2d::new(2) => affine, bias, track_running_stats;
            InstanceNorm2d::new(2).affine(true) => track_running_stats, affine, bias;
            GroupNorm::new(1, 2) => affine, bias;
            LayerNorm::new(2) => elementwise_affine, bias;
            RMSNorm::new(2) => elementwise_affine;
            crate::nn::LSTM::new(2, 3) => bias, bidirectional;
            crate::nn::GRUCell::new(2, 3) => bias;
            crate::nn::MultiheadAttention::new(4, 2) => bias;
            crate::nn::TransformerEncoderLayer::new(4, 2).dim_feedforward(3) => bias;
            crate::nn::Linear::new(2, 3).bias(false) => bias;
        }
        let layer = own.scope(|| crate::nn::MultiheadAttention::new(4, 2)).kdim(3).vdim(5);
        assert!(layer.parameters().iter().all(|p| p.get().device() == &own));
    }
}
