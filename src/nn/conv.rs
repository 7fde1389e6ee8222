//! Convolutional layers.

use super::{Forward, Module, Parameter, init};
use crate::engine::Device;
use crate::ops::convolution::options::{ConvOptions, ConvTransposeOptions, Padding, PerDim};
use crate::ops::pad::PadMode;
use crate::tensor::Tensor;

/// What a convolutional layer sees around its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The input mirrored at its first and last elements.
    Reflect,
    /// The first and last elements again.
    Replicate,
    /// The input again.
    Circular,
}

/// A weight and perhaps a bias, uniform in ±1/√fan_in: PyTorch's Kaiming initialisation with a = √5. The fan counts all
/// dims of the weight but the first.
fn parameters(weight: &[usize], bias: Option<usize>, device: &Device) -> (Parameter, Option<Parameter>) {
    let bound = init::fan_in_bound(weight[1..].iter().product());
    let make = |shape: &[usize]| Parameter::new(Tensor::uniform_on(shape, -bound, bound, device));
    (make(weight), bias.map(|channels| make(&[channels])))
}

#[track_caller]
fn check_groups(layer: &str, groups: usize, in_channels: usize, out_channels: usize) {
    assert!(
        groups > 0 && in_channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups),
        "{layer}: {groups} groups don't divide {in_channels} input channels and {out_channels} output channels"
    );
}

/// The pads of [`Tensor::pad`], last dim first: those before and behind each dim.
fn pads<const N: usize>(padding: Padding<N>, kernel: [usize; N], dilation: [usize; N]) -> Vec<i64> {
    let sides = |d: usize| match padding {
        Padding::Valid => (0, 0),
        Padding::Sizes(sizes) => (sizes[d], sizes[d]),
        Padding::Same => {
            let total = dilation[d] * (kernel[d] - 1);
            (total / 2, total - total / 2)
        }
    };
    (0..N).rev().map(sides).flat_map(|(before, after)| [before as i64, after as i64]).collect()
}

/// Options of both kinds of layers. Groups divide these channels of the weight.
macro_rules! shared_options {
    ($name:ident, $dims:literal, $divided:ident) => {
        /// Steps between the taps of the kernel.
        pub fn dilation(mut self, dilation: impl Into<PerDim<$dims>>) -> Self {
            self.options.dilation = dilation.into().0;
            self
        }

        /// Divides the channels into groups, each with a convolution of its own. Makes new parameters.
        ///
        /// # Panics
        /// When the number does not divide both numbers of channels.
        #[track_caller]
        pub fn groups(mut self, groups: usize) -> Self {
            let (in_channels, out_channels) = (self.in_channels(), self.out_channels());
            check_groups(stringify!($name), groups, in_channels, out_channels);
            let old = self.weight.get();
            let mut shape = old.shape().to_vec();
            shape[1] = self.$divided() / groups;
            let bias = self.bias.is_some().then_some(out_channels);
            (self.weight, self.bias) = parameters(&shape, bias, old.device());
            self.options.groups = groups;
            self
        }

        /// With or without a bias.
        pub fn bias(mut self, bias: bool) -> Self {
            let (weight, channels) = (self.weight.get(), self.out_channels());
            let make = || parameters(weight.shape(), Some(channels), weight.device()).1;
            self.bias = if bias { self.bias.or_else(make) } else { None };
            self
        }
    };
}

macro_rules! conv_layer {
    ($(#[$meta:meta])* $name:ident, $dims:literal, $method:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            /// The kernels, `[out_channels, in_channels / groups, …]`.
            pub weight: Parameter,
            /// What is added, `[out_channels]`.
            pub bias: Option<Parameter>,
            #[module(skip)]
            options: ConvOptions<$dims>,
            #[module(skip)]
            padding_mode: PaddingMode,
        }

        impl $name {
            /// A layer with PyTorch's defaults, on the current device.
            #[track_caller]
            pub fn new(in_channels: usize, out_channels: usize, kernel_size: impl Into<PerDim<$dims>>) -> Self {
                let mut shape = vec![out_channels, in_channels];
                shape.extend(kernel_size.into().0);
                let (weight, bias) = parameters(&shape, Some(out_channels), &Device::current());
                $name { weight, bias, options: ConvOptions::new(), padding_mode: PaddingMode::Zeros }
            }

            /// Steps between places.
            ///
            /// # Panics
            /// When the layer has [`Padding::Same`] and the stride is not 1.
            #[track_caller]
            pub fn stride(mut self, stride: impl Into<PerDim<$dims>>) -> Self {
                self.options.stride = stride.into().0;
                self.checked()
            }

            /// What the layer sees around its input: sizes, [`Padding::Same`] or [`Padding::Valid`].
            ///
            /// # Panics
            /// With [`Padding::Same`] when the stride is not 1.
            #[track_caller]
            pub fn padding(mut self, padding: impl Into<Padding<$dims>>) -> Self {
                self.options.padding = padding.into();
                self.checked()
            }

            shared_options!($name, $dims, in_channels);

            /// What lies around the input: zeros, or the input in some way.
            pub fn padding_mode(mut self, mode: PaddingMode) -> Self {
                self.padding_mode = mode;
                self
            }

            /// Channels of the input.
            pub fn in_channels(&self) -> usize {
                self.weight.shape()[1] * self.options.groups
            }

            /// Channels of the result.
            pub fn out_channels(&self) -> usize {
                self.weight.shape()[0]
            }

            /// Sizes of the kernel.
            pub fn kernel_size(&self) -> [usize; $dims] {
                self.weight.shape()[2..].try_into().expect("a size for each dim")
            }

            /// The arguments of the convolution.
            pub fn options(&self) -> &ConvOptions<$dims> {
                &self.options
            }

            #[track_caller]
            fn checked(self) -> Self {
                assert!(
                    self.options.padding != Padding::Same || self.options.stride == [1; $dims],
                    "{}: padding `same` needs a stride of 1, not {:?}",
                    stringify!($name),
                    self.options.stride
                );
                self
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// When the channels do not fit, or the kernel is larger than the padded input.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(Parameter::get));
                let mode = match self.padding_mode {
                    PaddingMode::Zeros => return x.$method(&weight, bias.as_ref(), &self.options),
                    PaddingMode::Reflect => PadMode::Reflect,
                    PaddingMode::Replicate => PadMode::Replicate,
                    PaddingMode::Circular => PadMode::Circular,
                };
                let padded = x.pad(pads(self.options.padding, self.kernel_size(), self.options.dilation), mode);
                padded.$method(&weight, bias.as_ref(), &self.options.padding(Padding::Valid))
            }
        }
    };
}

conv_layer! {
    /// A convolution in two dims: `[N, in_channels, H, W]` to `[N, out_channels, H', W']`; see [`Tensor::conv2d`].
    ///
    /// `weight` is `[out_channels, in_channels / groups, kh, kw]`, `bias` `[out_channels]`; both start uniform in
    /// ±1/√(in_channels / groups · kh · kw). <https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::Conv2d::new(3, 8, 5).stride(2).padding(2).bias(false);
    /// assert_eq!(layer.call(&Tensor::zeros(&[4, 3, 16, 16])).shape(), [4, 8, 8, 8]);
    /// ```
    Conv2d, 2, conv2d
}

conv_layer! {
    /// A convolution in one dim: `[N, in_channels, L]` to `[N, out_channels, L']`; see [`Tensor::conv1d`].
    ///
    /// `weight` is `[out_channels, in_channels / groups, k]`, `bias` `[out_channels]`; both start uniform in
    /// ±1/√(in_channels / groups · k). <https://pytorch.org/docs/stable/generated/torch.nn.Conv1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::Conv1d::new(3, 8, 3).padding(lumigrad::Padding::Same);
    /// assert_eq!(layer.call(&Tensor::zeros(&[4, 3, 16])).shape(), [4, 8, 16]);
    /// ```
    Conv1d, 1, conv1d
}

macro_rules! conv_transpose_layer {
    ($(#[$meta:meta])* $name:ident, $dims:literal, $method:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            /// The kernels, `[in_channels, out_channels / groups, …]`.
            pub weight: Parameter,
            /// What is added, `[out_channels]`.
            pub bias: Option<Parameter>,
            #[module(skip)]
            options: ConvTransposeOptions<$dims>,
        }

        impl $name {
            /// A layer with PyTorch's defaults, on the current device.
            #[track_caller]
            pub fn new(in_channels: usize, out_channels: usize, kernel_size: impl Into<PerDim<$dims>>) -> Self {
                let mut shape = vec![in_channels, out_channels];
                shape.extend(kernel_size.into().0);
                let (weight, bias) = parameters(&shape, Some(out_channels), &Device::current());
                $name { weight, bias, options: ConvTransposeOptions::new() }
            }

            /// Steps between what neighbouring places of the input give.
            pub fn stride(mut self, stride: impl Into<PerDim<$dims>>) -> Self {
                self.options.stride = stride.into().0;
                self
            }

            /// How much is cut off around the result.
            pub fn padding(mut self, padding: impl Into<PerDim<$dims>>) -> Self {
                self.options.padding = padding.into().0;
                self
            }

            /// How much is added behind each dim of the result.
            pub fn output_padding(mut self, output_padding: impl Into<PerDim<$dims>>) -> Self {
                self.options.output_padding = output_padding.into().0;
                self
            }

            shared_options!($name, $dims, out_channels);

            /// Channels of the input.
            pub fn in_channels(&self) -> usize {
                self.weight.shape()[0]
            }

            /// Channels of the result.
            pub fn out_channels(&self) -> usize {
                self.weight.shape()[1] * self.options.groups
            }

            /// Sizes of the kernel.
            pub fn kernel_size(&self) -> [usize; $dims] {
                self.weight.shape()[2..].try_into().expect("a size for each dim")
            }

            /// [`Forward::forward`] with a result of these spatial sizes: what PyTorch's `output_size` is for. A stride leaves
            /// open which of `stride` sizes an input came from; this chooses the output padding accordingly.
            ///
            /// # Panics
            /// When no output padding gives these sizes, naming those that are possible.
            #[track_caller]
            pub fn forward_sized(&self, x: &Tensor, output_size: impl Into<PerDim<$dims>>) -> Tensor {
                let (wanted, kernel, o) = (output_size.into().0, self.kernel_size(), &self.options);
                let first = x.dim() as i64 - $dims;
                let least: [i64; $dims] = std::array::from_fn(|d| {
                    let places = if first > 0 { x.size(first + d as i64) as i64 } else { 1 };
                    (places - 1) * o.stride[d] as i64 - 2 * o.padding[d] as i64
                        + (o.dilation[d] * (kernel[d] - 1)) as i64
                        + 1
                });
                let extra = std::array::from_fn(|d| wanted[d] as i64 - least[d]);
                assert!(
                    (0..$dims).all(|d| (0..o.stride[d] as i64).contains(&extra[d])),
                    "{}: an output size of {wanted:?} is not possible for an input of shape {:?}: from {least:?}, and less \
                     than the stride {:?} above it",
                    stringify!($name),
                    x.shape(),
                    o.stride
                );
                let options = o.output_padding(extra.map(|e| e as usize));
                let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(Parameter::get));
                x.$method(&weight, bias.as_ref(), &options)
            }

            /// The arguments of the transposed convolution.
            pub fn options(&self) -> &ConvTransposeOptions<$dims> {
                &self.options
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// When the channels do not fit, or the padding is larger than the result.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(Parameter::get));
                x.$method(&weight, bias.as_ref(), &self.options)
            }
        }
    };
}

conv_transpose_layer! {
    /// A transposed convolution in two dims: `[N, in_channels, H, W]` to `[N, out_channels, H', W']`; see
    /// [`Tensor::conv_transpose2d`].
    ///
    /// `weight` is `[in_channels, out_channels / groups, kh, kw]`, `bias` `[out_channels]`; both start uniform in
    /// ±1/√(out_channels / groups · kh · kw), as in PyTorch.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::ConvTranspose2d::new(8, 3, 4).stride(2).padding(1);
    /// assert_eq!(layer.call(&Tensor::zeros(&[4, 8, 8, 8])).shape(), [4, 3, 16, 16]);
    /// ```
    ConvTranspose2d, 2, conv_transpose2d
}

conv_transpose_layer! {
    /// A transposed convolution in one dim: `[N, in_channels, L]` to `[N, out_channels, L']`; see
    /// [`Tensor::conv_transpose1d`].
    ///
    /// `weight` is `[in_channels, out_channels / groups, k]`, `bias` `[out_channels]`; both start uniform in
    /// ±1/√(out_channels / groups · k), as in PyTorch.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::ConvTranspose1d::new(8, 3, 4).stride(2);
    /// assert_eq!(layer.call(&Tensor::zeros(&[4, 8, 8])).shape(), [4, 3, 18]);
    /// ```
    ConvTranspose1d, 1, conv_transpose1d
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(module: &impl Module) -> Vec<(String, Vec<usize>)> {
        module.named_parameters().into_iter().map(|(name, p)| (name, p.shape().to_vec())).collect()
    }

    #[test]
    fn parameters_have_pytorchs_shapes_and_range() {
        Device::reference().scope(|| {
            let conv = Conv2d::new(6, 4, [3, 5]).groups(2);
            assert_eq!(shapes(&conv), [("weight".into(), vec![4, 3, 3, 5]), ("bias".into(), vec![4])]);
            assert_eq!((conv.in_channels(), conv.out_channels(), conv.kernel_size()), (6, 4, [3, 5]));
            let back = ConvTranspose2d::new(6, 4, 3).groups(2).bias(false);
            assert_eq!(shapes(&back), [("weight".into(), vec![6, 2, 3, 3])]);
            assert_eq!((back.in_channels(), back.out_channels()), (6, 4));
            assert_eq!(shapes(&back.bias(true)).len(), 2);
            let large = |p: &Parameter, bound: f64| {
                let most = p.get().to_vec::<f64>().unwrap().into_iter().map(f64::abs).fold(0.0, f64::max);
                assert!(most <= bound && most > 0.8 * bound, "{most} of {bound}");
            };
            large(&conv.weight, 1.0 / 45f64.sqrt());
            large(&Conv1d::new(4, 64, 3).bias.unwrap(), 1.0 / 12f64.sqrt());
            large(&ConvTranspose1d::new(4, 64, 3).weight, 1.0 / 192f64.sqrt());
        });
    }

    #[test]
    fn what_lies_around_the_input_can_be_chosen() {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[1.0f32, 2.0, 4.0], &[1, 1, 3]);
            let run = |mode| {
                let layer = Conv1d::new(1, 1, 3).padding(1).bias(false).padding_mode(mode);
                layer.weight.set(&Tensor::from_slice(&[1.0f32, 0.0, -1.0], &[1, 1, 3])).unwrap();
                layer.call(&x).to_vec::<f32>().unwrap()
            };
            assert_eq!(run(PaddingMode::Zeros), [-2.0, -3.0, 2.0]);
            assert_eq!(run(PaddingMode::Reflect), [0.0, -3.0, 0.0]);
            assert_eq!(run(PaddingMode::Replicate), [-1.0, -3.0, -2.0]);
            assert_eq!(run(PaddingMode::Circular), [2.0, -3.0, 1.0]);
            let same = Conv1d::new(1, 1, 4).padding(Padding::Same).padding_mode(PaddingMode::Circular);
            assert_eq!(same.call(&x).shape(), [1, 1, 3]);
        });
    }

    #[test]
    fn the_size_of_a_transposed_convolution_can_be_chosen() {
        Device::reference().scope(|| {
            let (down, up) =
                (Conv2d::new(1, 1, 3).stride(2).padding(1), ConvTranspose2d::new(1, 1, 3).stride(2).padding(1));
            for size in [[7, 8], [8, 7]] {
                let x = down.call(&Tensor::zeros(&[1, 1, size[0], size[1]]));
                assert_eq!(up.forward_sized(&x, size).shape()[2..], size);
            }
        });
    }

    #[test]
    #[should_panic(
        expected = "an output size of [9, 9] is not possible for an input of shape [1, 1, 4, 4]: from [7, 7]"
    )]
    fn a_size_that_no_input_gives_is_refused() {
        Device::reference().scope(|| {
            ConvTranspose2d::new(1, 1, 3).stride(2).padding(1).forward_sized(&Tensor::zeros(&[1, 1, 4, 4]), 9)
        });
    }

    #[test]
    #[should_panic(expected = "4 groups don't divide 6 input channels")]
    fn groups_divide_the_channels() {
        Device::reference().scope(|| Conv2d::new(6, 4, 3).groups(4));
    }

    #[test]
    #[should_panic(expected = "padding `same` needs a stride of 1")]
    fn same_padding_has_no_stride() {
        Device::reference().scope(|| Conv2d::new(1, 1, 3).padding(Padding::Same).stride(2));
    }
}
