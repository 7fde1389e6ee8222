//! Layers of a transformer.

use super::attention::MultiheadAttentionOptions;
use super::parameter::device_of;
use super::{Dropout, Forward, LayerNorm, Linear, Module, MultiheadAttention};
use crate::engine::Device;
use crate::tensor::Tensor;

/// The function between the two linear layers of a transformer's layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransformerActivation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x·Φ(x)`.
    Gelu,
}

/// What a transformer's encoder leaves out: see [`MultiheadAttentionOptions`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TransformerMasks<'a> {
    /// Which places are hidden from which, `[L, L]` or `[N·heads, L, L]`.
    pub mask: Option<&'a Tensor>,
    /// Which places are hidden from all, `[N, L]`.
    pub src_key_padding_mask: Option<&'a Tensor>,
    /// Whether every place sees only those up to its own.
    pub is_causal: bool,
}

/// What an encoder's layer is made from.
#[derive(Clone, Copy, Debug)]
struct Config {
    d_model: usize,
    nhead: usize,
    dim_feedforward: usize,
    dropout: f64,
    activation: TransformerActivation,
    layer_norm_eps: f64,
    batch_first: bool,
    norm_first: bool,
    bias: bool,
}

/// Self-attention and two linear layers, each added to its input and normalised: `[L, N, d_model]` in and out, with
/// `batch_first` `[N, L, d_model]`, without a batch `[L, d_model]`.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.TransformerEncoderLayer.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::TransformerEncoderLayer::new(16, 4).dim_feedforward(32).batch_first(true);
/// assert_eq!(layer.call(&Tensor::rand(&[2, 5, 16])).shape(), [2, 5, 16]);
/// ```
#[derive(Clone, Debug, Module)]
pub struct TransformerEncoderLayer {
    /// Attention of all places to all places.
    pub self_attn: MultiheadAttention,
    /// From `d_model` to `dim_feedforward`.
    pub linear1: Linear,
    dropout: Dropout,
    /// Back to `d_model`.
    pub linear2: Linear,
    /// Of the attention.
    pub norm1: LayerNorm,
    /// Of the linear layers.
    pub norm2: LayerNorm,
    dropout1: Dropout,
    dropout2: Dropout,
    #[module(skip)]
    config: Config,
}

impl TransformerEncoderLayer {
    /// With `dim_feedforward` 2048, dropout of 0.1, relu, norms behind the sums, time-major, on the current device.
    ///
    /// # Panics
    /// When `d_model` is no multiple of `nhead`.
    #[track_caller]
    pub fn new(d_model: usize, nhead: usize) -> TransformerEncoderLayer {
        Self::make(
            Config {
                d_model,
                nhead,
                dim_feedforward: 2048,
                dropout: 0.1,
                activation: TransformerActivation::Relu,
                layer_norm_eps: 1e-5,
                batch_first: false,
                norm_first: false,
                bias: true,
            },
            &Device::current(),
        )
    }

    #[track_caller]
    fn make(config: Config, device: &Device) -> TransformerEncoderLayer {
        let Config { d_model, nhead, dim_feedforward, dropout, layer_norm_eps, batch_first, bias, .. } = config;
        let norm = || LayerNorm::on(d_model, device).eps(layer_norm_eps).bias(bias);
        let self_attn = MultiheadAttention::on(d_model, nhead, bias, device);
        TransformerEncoderLayer {
            self_attn: self_attn.batch_first(batch_first).dropout(dropout),
            linear1: Linear::on(d_model, dim_feedforward, bias, device),
            dropout: Dropout::new(dropout),
            linear2: Linear::on(dim_feedforward, d_model, bias, device),
            norm1: norm(),
            norm2: norm(),
            dropout1: Dropout::new(dropout),
            dropout2: Dropout::new(dropout),
            config,
        }
    }

    /// The width between the two linear layers. Makes the parameters anew.
    #[track_caller]
    pub fn dim_feedforward(self, dim_feedforward: usize) -> Self {
        let config = Config { dim_feedforward, ..self.config };
        self.reset(config)
    }

    /// The share that is dropped while training: of the attention's weights, and behind each part.
    ///
    /// # Panics
    /// When it does not lie between 0 and 1.
    #[track_caller]
    pub fn dropout(mut self, dropout: f64) -> Self {
        self.config.dropout = dropout;
        self.self_attn = self.self_attn.dropout(dropout);
        for part in [&mut self.dropout, &mut self.dropout1, &mut self.dropout2] {
            part.p = dropout;
        }
        self
    }

    /// What stands between the linear layers.
    pub fn activation(mut self, activation: TransformerActivation) -> Self {
        self.config.activation = activation;
        self
    }

    /// What the norms add to the variance.
    pub fn layer_norm_eps(mut self, layer_norm_eps: f64) -> Self {
        self.config.layer_norm_eps = layer_norm_eps;
        self.norm1 = self.norm1.eps(layer_norm_eps);
        self.norm2 = self.norm2.eps(layer_norm_eps);
        self
    }

    /// `[N, L, d_model]` and not `[L, N, d_model]`.
    pub fn batch_first(mut self, batch_first: bool) -> Self {
        self.config.batch_first = batch_first;
        self.self_attn = self.self_attn.batch_first(batch_first);
        self
    }

    /// Whether the norms stand before each part, and not behind the sums.
    pub fn norm_first(mut self, norm_first: bool) -> Self {
        self.config.norm_first = norm_first;
        self
    }

    /// With biases or without, everywhere. Makes the parameters anew.
    #[track_caller]
    pub fn bias(self, bias: bool) -> Self {
        let config = Config { bias, ..self.config };
        self.reset(config)
    }

    /// The layer with masks.
    ///
    /// # Panics
    /// When the shapes do not fit.
    #[track_caller]
    pub fn forward_with(&self, src: &Tensor, masks: &TransformerMasks<'_>) -> Tensor {
        if self.config.norm_first {
            let x = src.add(&self.attention(&self.norm1.call(src), masks));
            x.add(&self.feed_forward(&self.norm2.call(&x)))
        } else {
            let x = self.norm1.call(&src.add(&self.attention(src, masks)));
            self.norm2.call(&x.add(&self.feed_forward(&x)))
        }
    }

    #[track_caller]
    fn attention(&self, x: &Tensor, masks: &TransformerMasks<'_>) -> Tensor {
        let options = MultiheadAttentionOptions {
            key_padding_mask: masks.src_key_padding_mask,
            need_weights: false,
            attn_mask: masks.mask,
            is_causal: masks.is_causal,
            ..MultiheadAttentionOptions::default()
        };
        self.dropout1.call(&self.self_attn.attend(x, x, x, &options).0)
    }

    #[track_caller]
    fn feed_forward(&self, x: &Tensor) -> Tensor {
        let x = self.linear1.call(x);
        let x = match self.config.activation {
            TransformerActivation::Relu => x.relu(),
            TransformerActivation::Gelu => x.gelu(),
        };
        self.dropout2.call(&self.linear2.call(&self.dropout.call(&x)))
    }

    /// New parameters where the old ones are, in training when the layer is.
    #[track_caller]
    fn reset(self, config: Config) -> Self {
        let new = Self::make(config, &device_of(&self));
        let training = self.dropout.training.is_on();
        new.set_training(training);
        new
    }

    /// PyTorch's `deepcopy`: a layer with parameters of its own that hold the same values and are frozen alike, in training
    /// when this one is. No random numbers are drawn.
    fn copied(&self) -> Self {
        let dropout = |of: &Dropout| Dropout { p: of.p, training: of.training.copied() };
        TransformerEncoderLayer {
            self_attn: self.self_attn.copied(),
            linear1: self.linear1.copied(),
            dropout: dropout(&self.dropout),
            linear2: self.linear2.copied(),
            norm1: self.norm1.copied(),
            norm2: self.norm2.copied(),
            dropout1: dropout(&self.dropout1),
            dropout2: dropout(&self.dropout2),
            config: self.config,
        }
    }
}

impl Forward for TransformerEncoderLayer {
    type Output = Tensor;

    /// # Panics
    /// When the last dim is not `d_model`.
    #[track_caller]
    fn forward(&self, src: &Tensor) -> Tensor {
        self.forward_with(src, &TransformerMasks::default())
    }
}

/// A stack of [`TransformerEncoderLayer`]s, and perhaps a norm behind it.
///
/// As in PyTorch all layers are copies of the one that is given, and start from its values.
/// <https://pytorch.org/docs/stable/generated/torch.nn.TransformerEncoder.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::TransformerEncoderLayer::new(16, 4).dim_feedforward(32).norm_first(true);
/// let encoder = nn::TransformerEncoder::new(&layer, 2).norm(nn::LayerNorm::new(16));
/// assert_eq!(encoder.call(&Tensor::rand(&[5, 2, 16])).shape(), [5, 2, 16]);
/// assert!(encoder.state_dict().get("layers.1.self_attn.in_proj_weight").is_some());
/// ```
#[derive(Clone, Debug, Module)]
pub struct TransformerEncoder {
    /// The layers, the first one first.
    pub layers: Vec<TransformerEncoderLayer>,
    /// The norm of what the last one gives.
    pub norm: Option<LayerNorm>,
}

impl TransformerEncoder {
    /// So many copies of a layer, where its parameters are; frozen and in training as it is.
    pub fn new(layer: &TransformerEncoderLayer, num_layers: usize) -> TransformerEncoder {
        TransformerEncoder { layers: (0..num_layers).map(|_| layer.copied()).collect(), norm: None }
    }

    /// With a norm behind the layers.
    pub fn norm(mut self, norm: LayerNorm) -> TransformerEncoder {
        self.norm = Some(norm);
        self
    }

    /// All layers with the same masks.
    ///
    /// # Panics
    /// When the shapes do not fit.
    #[track_caller]
    pub fn forward_with(&self, src: &Tensor, masks: &TransformerMasks<'_>) -> Tensor {
        let mut x = src.clone();
        for layer in &self.layers {
            x = layer.forward_with(&x, masks);
        }
        match &self.norm {
            Some(norm) => norm.call(&x),
            None => x,
        }
    }
}

impl Forward for TransformerEncoder {
    type Output = Tensor;

    /// # Panics
    /// When the last dim is not the layers' `d_model`.
    #[track_caller]
    fn forward(&self, src: &Tensor) -> Tensor {
        self.forward_with(src, &TransformerMasks::default())
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Device;
    use crate::nn::{Forward, LSTM, Module, MultiheadAttention, TransformerEncoder, TransformerEncoderLayer};
    use crate::tensor::Tensor;

    fn values(t: &Tensor) -> Vec<f32> {
        t.to_vec().unwrap()
    }

    #[test]
    fn an_encoders_layers_start_alike_and_are_trained_apart() {
        Device::reference().scope(|| {
            let layer = TransformerEncoderLayer::new(4, 2).dim_feedforward(6);
            let encoder = TransformerEncoder::new(&layer, 2);
            assert_eq!(encoder.parameters().len(), 2 * layer.parameters().len());
            let weight = |i: usize| &encoder.layers[i].linear1.weight;
            assert_eq!(values(&weight(0).get()), values(&weight(1).get()));
            weight(0).set(&Tensor::zeros(&[6, 4])).unwrap();
            assert_eq!(values(&weight(1).get()), values(&layer.linear1.weight.get()));
        });
    }

    #[test]
    fn an_encoders_layers_are_frozen_and_in_evaluation_as_the_one_that_is_given() {
        let device = Device::new_reference(true);
        device.scope(|| {
            let layer = TransformerEncoderLayer::new(4, 2).dim_feedforward(6).dropout(0.5);
            layer.linear1.weight.requires_grad_(false);
            layer.eval();
            device.manual_seed(7);
            let encoder = TransformerEncoder::new(&layer, 2);
            let drawn = values(&Tensor::rand(&[4]));
            device.manual_seed(7);
            assert_eq!(drawn, values(&Tensor::rand(&[4])), "copies draw no random numbers");
            for (of, copy) in layer.named_parameters().iter().zip(&encoder.layers[1].named_parameters()) {
                assert_eq!((&of.0, of.1.is_requires_grad()), (&copy.0, copy.1.is_requires_grad()));
                assert!(!of.1.is(&copy.1) && values(&of.1.get()) == values(&copy.1.get()));
            }
            let x = Tensor::rand(&[3, 2, 4]);
            let once = values(&encoder.call(&x));
            assert_eq!(once, values(&encoder.call(&x)), "nothing is dropped");
            layer.train();
            assert_eq!(once, values(&encoder.call(&x)), "the copies have switches of their own");
        });
    }

    #[test]
    fn numbers_of_a_layer_change_without_new_parameters() {
        Device::reference().scope(|| {
            let layer = TransformerEncoderLayer::new(4, 2).dim_feedforward(6);
            let before = layer.parameters();
            layer.eval();
            let x = Tensor::rand(&[3, 2, 4]);
            let plain = values(&layer.call(&x));
            let layer = layer.dropout(0.9);
            assert_eq!(values(&layer.call(&x)), plain, "it is still in evaluation");
            let layer = layer.layer_norm_eps(10.0);
            assert_ne!(values(&layer.call(&x)), plain);
            assert!(before.iter().zip(&layer.parameters()).all(|(a, b)| a.is(b)));
            let other = TransformerEncoderLayer::new(4, 2).dim_feedforward(6).layer_norm_eps(10.0);
            other.load_state_dict(&layer.state_dict()).unwrap();
            other.eval();
            assert_eq!(values(&layer.call(&x)), values(&other.call(&x)));
            layer.train();
            assert_ne!(values(&layer.call(&x)), values(&layer.call(&x)));
        });
    }

    /// With everything dropped only what is added behind is left.
    #[test]
    fn dropout_drops_in_training_alone() {
        Device::reference().scope(|| {
            let x = Tensor::rand(&[3, 2, 4]);
            let attention = MultiheadAttention::new(4, 2).dropout(1.0);
            let run = || attention.call(&(x.clone(), x.clone(), x.clone()));
            let (y, weights) = run();
            assert!(values(&y).iter().chain(&values(&weights.unwrap())).all(|&v| v == 0.0));
            attention.eval();
            let sums = run().1.unwrap().sum_dims(&[-1], false);
            assert!(values(&sums).iter().all(|v| (v - 1.0).abs() < 1e-6));

            let lstm = LSTM::new(4, 3).num_layers(2).dropout(1.0);
            let last_layer = |x: &Tensor| values(&lstm.call(x).0);
            assert_eq!(last_layer(&x), last_layer(&Tensor::zeros(&[3, 2, 4])));
            lstm.eval();
            assert_ne!(last_layer(&x), last_layer(&Tensor::zeros(&[3, 2, 4])));
        });
    }
}
