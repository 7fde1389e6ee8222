//! Batch normalisation.

use super::{affine_options, check_channels, check_dims, running_statistics_option};
use crate::nn::{Buffer, Forward, Module, Parameter, Training};
use crate::ops::norm::batch_norm::BatchNormOptions;
use crate::tensor::Tensor;

macro_rules! batch_norm {
    ($(#[$meta:meta])* $name:ident, $dims:expr, $takes:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            /// Factors, `[C]`; none without `affine`.
            pub weight: Option<Parameter>,
            /// What is added, `[C]`; none without `affine` or `bias`.
            pub bias: Option<Parameter>,
            /// The running mean, `[C]`; none without `track_running_stats`.
            pub running_mean: Option<Buffer>,
            /// The running (unbiased) variance, `[C]`; none without `track_running_stats`.
            pub running_var: Option<Buffer>,
            /// The number of batches so far, one i32; none without `track_running_stats`.
            pub num_batches_tracked: Option<Buffer>,
            training: Training,
            #[module(skip)]
            with_bias: bool,
            #[module(skip)]
            num_features: usize,
            #[module(skip)]
            eps: f64,
            #[module(skip)]
            momentum: Option<f64>,
        }

        impl $name {
            /// For `num_features` channels, with PyTorch's defaults, on the current device.
            #[track_caller]
            pub fn new(num_features: usize) -> Self {
                let layer = $name {
                    weight: None,
                    bias: None,
                    running_mean: None,
                    running_var: None,
                    num_batches_tracked: None,
                    training: Training::new(),
                    with_bias: true,
                    num_features,
                    eps: 1e-5,
                    momentum: Some(0.1),
                };
                layer.affine(true).track_running_stats(true)
            }

            /// The share of each batch in the running statistics, 0.1 unless said otherwise; `None` for the mean of all
            /// batches.
            pub fn momentum(mut self, momentum: impl Into<Option<f64>>) -> Self {
                self.momentum = momentum.into();
                self
            }

            affine_options!(num_features);
            running_statistics_option! {
                /// Whether there are running statistics, made anew as 0 and 1. Without them evaluation too takes the batch's.
            }

            /// Forgets all batches.
            pub fn reset_running_stats(&self) {
                let reset = |buffer: &Option<Buffer>, value: f64| {
                    if let Some(buffer) = buffer {
                        let old = buffer.get();
                        buffer.set(&Tensor::full_on(old.shape(), value, old.dtype(), old.device()));
                    }
                };
                reset(&self.running_mean, 0.0);
                reset(&self.running_var, 1.0);
                reset(&self.num_batches_tracked, 0.0);
            }

            /// The number of channels.
            pub fn num_features(&self) -> usize {
                self.num_features
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// When the input has other dims or channels, or (while training) one value a channel.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                check_dims(stringify!($name), x, $dims, $takes);
                check_channels(stringify!($name), x, 1, self.num_features);
                let get = |buffer: &Option<Buffer>| buffer.as_ref().map(Buffer::get);
                let (mean, var) = (get(&self.running_mean), get(&self.running_var));
                let batches = get(&self.num_batches_tracked);
                let (weight, bias) = (self.weight.as_ref().map(Parameter::get), self.bias.as_ref().map(Parameter::get));
                x.batch_norm(&BatchNormOptions {
                    weight: weight.as_ref(),
                    bias: bias.as_ref(),
                    running_mean: mean.as_ref(),
                    running_var: var.as_ref(),
                    num_batches_tracked: batches.as_ref(),
                    training: self.training.is_training() || mean.is_none(),
                    momentum: if mean.is_some() { self.momentum } else { Some(0.0) },
                    eps: self.eps,
                })
            }
        }
    };
}

batch_norm! {
    /// Normalises each channel of `[N, C]` or `[N, C, L]` over the batch; see [`Tensor::batch_norm`].
    ///
    /// While training with the batch's statistics, in evaluation (`eval()`) with the running ones.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::BatchNorm1d::new(100).momentum(0.2);
    /// assert_eq!(layer.call(&Tensor::randn(&[20, 100])).shape(), [20, 100]);
    /// ```
    BatchNorm1d, &[2, 3], "[N, C] or [N, C, L]"
}

batch_norm! {
    /// Normalises each channel of `[N, C, H, W]` over the batch; see [`Tensor::batch_norm`].
    ///
    /// While training with the batch's statistics, in evaluation (`eval()`) with the running ones.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::BatchNorm2d::new(16);
    /// let y = layer.call(&Tensor::randn(&[4, 16, 8, 8]));
    /// assert!(y.mean().item::<f32>()?.abs() < 1e-5);
    /// layer.eval();
    /// let names: Vec<_> = layer.state_dict().iter().map(|(name, _)| name.to_string()).collect();
    /// assert_eq!(names, ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    BatchNorm2d, &[4], "[N, C, H, W]"
}
