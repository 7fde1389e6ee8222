//! Norms of channels of single samples.

use super::{affine_options, check_channels, check_dims, running_statistics_option};
use crate::nn::{Buffer, Forward, Module, Parameter, Training};
use crate::ops::norm::instance_norm::InstanceNormOptions;
use crate::tensor::Tensor;

/// Normalises groups of channels of each sample of `[N, C, …]`; see [`Tensor::group_norm`].
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::GroupNorm::new(3, 6);
/// assert_eq!(layer.call(&Tensor::randn(&[20, 6, 10, 10])).shape(), [20, 6, 10, 10]);
/// ```
#[derive(Clone, Debug, Module)]
pub struct GroupNorm {
    /// Factors, `[C]`; none without `affine`.
    pub weight: Option<Parameter>,
    /// What is added, `[C]`; none without `affine` or `bias`.
    pub bias: Option<Parameter>,
    #[module(skip)]
    with_bias: bool,
    #[module(skip)]
    num_groups: usize,
    #[module(skip)]
    num_channels: usize,
    #[module(skip)]
    eps: f64,
}

impl GroupNorm {
    /// For `num_channels` channels in `num_groups` groups, with PyTorch's defaults, on the current device.
    ///
    /// # Panics
    /// When the channels do not divide into the groups.
    #[track_caller]
    pub fn new(num_groups: usize, num_channels: usize) -> Self {
        assert!(
            num_groups > 0 && num_channels.is_multiple_of(num_groups),
            "GroupNorm: {num_channels} channels do not divide into {num_groups} groups"
        );
        GroupNorm { weight: None, bias: None, with_bias: true, num_groups, num_channels, eps: 1e-5 }.affine(true)
    }

    affine_options!(num_channels);
}

impl Forward for GroupNorm {
    type Output = Tensor;

    /// # Panics
    /// When the input has another number of channels.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if x.dim() > 1 {
            check_channels("GroupNorm", x, 1, self.num_channels);
        }
        let (weight, bias) = (self.weight.as_ref().map(Parameter::get), self.bias.as_ref().map(Parameter::get));
        x.group_norm(self.num_groups, weight.as_ref(), bias.as_ref(), self.eps)
    }
}

macro_rules! instance_norm {
    ($(#[$meta:meta])* $name:ident, $dims:literal, $takes:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            /// Factors, `[C]`; there with `affine`.
            pub weight: Option<Parameter>,
            /// What is added, `[C]`; there with `affine` and `bias`.
            pub bias: Option<Parameter>,
            /// The running mean, `[C]`; there with `track_running_stats`.
            pub running_mean: Option<Buffer>,
            /// The running (unbiased) variance, `[C]`; there with `track_running_stats`.
            pub running_var: Option<Buffer>,
            /// Saved as PyTorch does, and as there never counted; there with `track_running_stats`.
            pub num_batches_tracked: Option<Buffer>,
            training: Training,
            #[module(skip)]
            with_bias: bool,
            #[module(skip)]
            num_features: usize,
            #[module(skip)]
            eps: f64,
            #[module(skip)]
            momentum: f64,
        }

        impl $name {
            /// For `num_features` channels, with PyTorch's defaults (neither weights nor running statistics), on the
            /// current device.
            pub fn new(num_features: usize) -> Self {
                $name {
                    weight: None,
                    bias: None,
                    running_mean: None,
                    running_var: None,
                    num_batches_tracked: None,
                    training: Training::new(),
                    with_bias: true,
                    num_features,
                    eps: 1e-5,
                    momentum: 0.1,
                }
            }

            /// The share of each input in the running statistics, 0.1 unless said otherwise.
            pub fn momentum(mut self, momentum: f64) -> Self {
                self.momentum = momentum;
                self
            }

            affine_options!(num_features);
            running_statistics_option! {
                /// Whether there are running statistics, made anew as 0 and 1, which evaluation takes.
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// When the input has other dims or channels, or one value a channel.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                check_dims(stringify!($name), x, &[$dims, $dims + 1], $takes);
                let alone = x.dim() == $dims;
                check_channels(stringify!($name), x, usize::from(!alone), self.num_features);
                let get = |buffer: &Option<Buffer>| buffer.as_ref().map(Buffer::get);
                let (mean, var) = (get(&self.running_mean), get(&self.running_var));
                let (weight, bias) = (self.weight.as_ref().map(Parameter::get), self.bias.as_ref().map(Parameter::get));
                let options = InstanceNormOptions {
                    running_mean: mean.as_ref(),
                    running_var: var.as_ref(),
                    weight: weight.as_ref(),
                    bias: bias.as_ref(),
                    use_input_stats: self.training.is_training() || mean.is_none(),
                    momentum: self.momentum,
                    eps: self.eps,
                };
                if alone { x.unsqueeze(0).instance_norm(&options).squeeze_dim(0) } else { x.instance_norm(&options) }
            }
        }
    };
}

instance_norm! {
    /// Normalises each channel of each sample of `[N, C, L]` or `[C, L]`; see [`Tensor::instance_norm`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.InstanceNorm1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::InstanceNorm1d::new(4);
    /// assert_eq!(layer.call(&Tensor::randn(&[2, 4, 10])).shape(), [2, 4, 10]);
    /// ```
    InstanceNorm1d, 2, "[N, C, L] or [C, L]"
}

instance_norm! {
    /// Normalises each channel of each sample of `[N, C, H, W]` or `[C, H, W]`; see [`Tensor::instance_norm`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::InstanceNorm2d::new(4).affine(true);
    /// assert_eq!(layer.call(&Tensor::randn(&[4, 10, 10])).shape(), [4, 10, 10]);
    /// ```
    InstanceNorm2d, 3, "[N, C, H, W] or [C, H, W]"
}
