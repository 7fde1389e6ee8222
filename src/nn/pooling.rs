//! Pooling layers.

use super::{Forward, Module};
use crate::ops::convolution::options::PerDim;
use crate::ops::pooling::OutputSize;
use crate::ops::pooling::avg_pool::AvgPoolOptions;
use crate::ops::pooling::max_pool::MaxPoolOptions;
use crate::ops::pooling::max_unpool::MaxUnpoolOptions;
use crate::tensor::Tensor;

/// A layer of windows: their size, and the options of the method that it calls.
macro_rules! window_layer {
    ($(#[$meta:meta])* $name:ident, $dims:literal, $kernel:ty as $given:ty, $options:ident, $method:ident {
        $($(#[$doc:meta])* $setter:ident: $ty:ty;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
        pub struct $name {
            #[module(skip)]
            kernel_size: $kernel,
            #[module(skip)]
            options: $options<$dims>,
        }

        impl $name {
            /// Windows of this size, side by side.
            pub fn new(kernel_size: $given) -> Self {
                $name { kernel_size: kernel_size.into(), options: $options::new() }
            }

            $(
                $(#[$doc])*
                pub fn $setter(self, $setter: $ty) -> Self {
                    Self { options: self.options.$setter($setter), ..self }
                }
            )*
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// Where the method panics.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.kernel_size, &self.options)
            }
        }
    };
}

window_layer! {
    /// The largest element of every window: `[N, C, L]` or `[C, L]`; see [`Tensor::max_pool1d_with`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::MaxPool1d::new(3).stride(2).call(&Tensor::zeros(&[4, 16, 50])).shape(), [4, 16, 24]);
    /// ```
    MaxPool1d, 1, usize as usize, MaxPoolOptions, max_pool1d_with {
        /// Steps between windows.
        stride: usize;
        /// Elements around the input that lose against every other; at most half of a window.
        padding: usize;
        /// Steps between the elements of a window.
        dilation: usize;
        /// Whether the last window may reach out of the input.
        ceil_mode: bool;
    }
}

impl MaxPool1d {
    /// The values, and their positions: PyTorch's `return_indices`.
    ///
    /// # Panics
    /// As [`Tensor::max_pool1d_with_indices`].
    #[track_caller]
    pub fn forward_with_indices(&self, x: &Tensor) -> (Tensor, Tensor) {
        x.max_pool1d_with_indices(self.kernel_size, &self.options)
    }
}

window_layer! {
    /// The largest element of every window: `[N, C, H, W]` or `[C, H, W]`; see [`Tensor::max_pool2d_with`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::MaxPool2d::new(2).call(&Tensor::zeros(&[8, 3, 28, 28])).shape(), [8, 3, 14, 14]);
    /// let overlapping = nn::MaxPool2d::new(3).stride(2).padding(1);
    /// assert_eq!(overlapping.call(&Tensor::zeros(&[1, 64, 112, 112])).shape(), [1, 64, 56, 56]);
    /// ```
    MaxPool2d, 2, PerDim<2> as impl Into<PerDim<2>>, MaxPoolOptions, max_pool2d_with {
        /// Steps between windows.
        stride: impl Into<PerDim<2>>;
        /// Elements around the input that lose against every other; at most half of a window.
        padding: impl Into<PerDim<2>>;
        /// Steps between the elements of a window.
        dilation: impl Into<PerDim<2>>;
        /// Whether the last window may reach out of the input.
        ceil_mode: bool;
    }
}

impl MaxPool2d {
    /// The values, and their positions: PyTorch's `return_indices`. [`MaxUnpool2d`] takes them.
    ///
    /// # Panics
    /// As [`Tensor::max_pool2d_with_indices`].
    #[track_caller]
    pub fn forward_with_indices(&self, x: &Tensor) -> (Tensor, Tensor) {
        x.max_pool2d_with_indices(self.kernel_size, &self.options)
    }
}

window_layer! {
    /// The least element of every window: [`MaxPool1d`] turned round; see [`Tensor::min_pool1d_with`].
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 4.0], &[1, 4]);
    /// assert_eq!(nn::MinPool1d::new(2).stride(1).call(&x).to_vec::<f32>()?, [1.0, 1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    MinPool1d, 1, usize as usize, MaxPoolOptions, min_pool1d_with {
        /// Steps between windows.
        stride: usize;
        /// Elements around the input that lose against every other; at most half of a window.
        padding: usize;
        /// Steps between the elements of a window.
        dilation: usize;
        /// Whether the last window may reach out of the input.
        ceil_mode: bool;
    }
}

window_layer! {
    /// The least element of every window: [`MaxPool2d`] turned round; see [`Tensor::min_pool2d_with`].
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::arange(0.0, 16.0, 1.0).reshape([1, 4, 4]);
    /// assert_eq!(nn::MinPool2d::new(2).call(&x).to_vec::<f32>()?, [0.0, 2.0, 8.0, 10.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    MinPool2d, 2, PerDim<2> as impl Into<PerDim<2>>, MaxPoolOptions, min_pool2d_with {
        /// Steps between windows.
        stride: impl Into<PerDim<2>>;
        /// Elements around the input that lose against every other; at most half of a window.
        padding: impl Into<PerDim<2>>;
        /// Steps between the elements of a window.
        dilation: impl Into<PerDim<2>>;
        /// Whether the last window may reach out of the input.
        ceil_mode: bool;
    }
}

window_layer! {
    /// The mean of every window: `[N, C, L]` or `[C, L]`; see [`Tensor::avg_pool1d_with`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::AvgPool1d::new(3).stride(2).padding(1).call(&Tensor::ones(&[4, 16, 50])).shape(), [4, 16, 25]);
    /// ```
    AvgPool1d, 1, usize as usize, AvgPoolOptions, avg_pool1d_with {
        /// Steps between windows.
        stride: usize;
        /// Zeros around the input; at most half of a window.
        padding: usize;
        /// Whether the last window may reach out of the input.
        ceil_mode: bool;
        /// Whether padding counts as elements.
        count_include_pad: bool;
    }
}

window_layer! {
    /// The mean of every window: `[N, C, H, W]` or `[C, H, W]`; see [`Tensor::avg_pool2d_with`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::arange(0.0, 16.0, 1.0).reshape([1, 4, 4]);
    /// assert_eq!(nn::AvgPool2d::new(2).call(&x).to_vec::<f32>()?, [2.5, 4.5, 10.5, 12.5]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    AvgPool2d, 2, PerDim<2> as impl Into<PerDim<2>>, AvgPoolOptions, avg_pool2d_with {
        /// Steps between windows.
        stride: impl Into<PerDim<2>>;
        /// Zeros around the input; at most half of a window.
        padding: impl Into<PerDim<2>>;
        /// Whether the last window may reach out of the input.
        ceil_mode: bool;
        /// Whether padding counts as elements.
        count_include_pad: bool;
        /// What sums are divided by, in place of the number of elements.
        divisor_override: i64;
    }
}

/// A layer that gives a size of its own.
macro_rules! adaptive_layer {
    ($($(#[$meta:meta])* $name:ident, $dims:literal, $method:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
        pub struct $name {
            #[module(skip)]
            output_size: OutputSize<$dims>,
        }

        impl $name {
            /// A result of this size; `None` in the place of a dim keeps the input's.
            pub fn new(output_size: impl Into<OutputSize<$dims>>) -> Self {
                $name { output_size: output_size.into() }
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// Where the method panics.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.output_size)
            }
        }
    )*};
}

adaptive_layer! {
    /// The means of windows that divide `[N, C, L]` or `[C, L]` evenly; see [`Tensor::adaptive_avg_pool1d`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::AdaptiveAvgPool1d::new(5).call(&Tensor::ones(&[1, 64, 8])).shape(), [1, 64, 5]);
    /// ```
    AdaptiveAvgPool1d, 1, adaptive_avg_pool1d;
    /// The means of windows that divide `[N, C, H, W]` or `[C, H, W]` evenly; see [`Tensor::adaptive_avg_pool2d`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::ones(&[1, 64, 8, 9]);
    /// assert_eq!(nn::AdaptiveAvgPool2d::new((5, 7)).call(&x).shape(), [1, 64, 5, 7]);
    /// assert_eq!(nn::AdaptiveAvgPool2d::new([None, Some(7)]).call(&x).shape(), [1, 64, 8, 7]);
    /// assert_eq!(nn::AdaptiveAvgPool2d::new(1).call(&x).shape(), [1, 64, 1, 1]);
    /// ```
    AdaptiveAvgPool2d, 2, adaptive_avg_pool2d;
    /// The largest elements of windows that divide `[N, C, L]` or `[C, L]` evenly; see [`Tensor::adaptive_max_pool1d`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::AdaptiveMaxPool1d::new(5).call(&Tensor::ones(&[1, 64, 8])).shape(), [1, 64, 5]);
    /// ```
    AdaptiveMaxPool1d, 1, adaptive_max_pool1d;
    /// The largest elements of windows that divide `[N, C, H, W]` or `[C, H, W]` evenly; see
    /// [`Tensor::adaptive_max_pool2d`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::AdaptiveMaxPool2d::new((5, 7)).call(&Tensor::ones(&[1, 64, 8, 9])).shape(), [1, 64, 5, 7]);
    /// ```
    AdaptiveMaxPool2d, 2, adaptive_max_pool2d;
}

macro_rules! adaptive_indices {
    ($($name:ident, $method:ident;)*) => {$(
        impl $name {
            /// The values, and their positions: PyTorch's `return_indices`.
            ///
            /// # Panics
            /// Where the method panics.
            #[track_caller]
            pub fn forward_with_indices(&self, x: &Tensor) -> (Tensor, Tensor) {
                x.$method(self.output_size)
            }
        }
    )*};
}

adaptive_indices! {
    AdaptiveMaxPool1d, adaptive_max_pool1d_with_indices;
    AdaptiveMaxPool2d, adaptive_max_pool2d_with_indices;
}

/// The mean of every channel: `[N, C, H, W]` to `[N, C]`, or `[N, C, L]` to `[N, C]`; what is left of
/// [`AdaptiveAvgPool2d`] with size 1 once it is flattened.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// assert_eq!(nn::GlobalAvgPool.call(&Tensor::ones(&[8, 64, 7, 7])).shape(), [8, 64]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Module)]
pub struct GlobalAvgPool;

impl Forward for GlobalAvgPool {
    type Output = Tensor;

    /// # Panics
    /// When there are no dims behind the channels.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        assert!(x.dim() >= 3, "GlobalAvgPool: takes [N, C, …] with dims behind the channels, not {:?}", x.shape());
        let dims: Vec<i64> = (2..x.dim() as i64).collect();
        x.mean_dims(&dims, false)
    }
}

macro_rules! unpool_layer {
    ($(#[$meta:meta])* $name:ident, $dims:literal, $kernel:ty as $given:ty, $method:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
        pub struct $name {
            #[module(skip)]
            kernel_size: $kernel,
            #[module(skip)]
            options: MaxUnpoolOptions<$dims>,
        }

        impl $name {
            /// For windows of this size, side by side.
            pub fn new(kernel_size: $given) -> Self {
                $name { kernel_size: kernel_size.into(), options: MaxUnpoolOptions::new() }
            }

            /// Steps between windows.
            pub fn stride(self, stride: $given) -> Self {
                Self { options: self.options.stride(stride), ..self }
            }

            /// The padding that the maximum had.
            pub fn padding(self, padding: $given) -> Self {
                Self { options: self.options.padding(padding), ..self }
            }

            /// [`Forward::forward`] to this size, that of the maximum's input.
            ///
            /// # Panics
            /// Where the method panics.
            #[track_caller]
            pub fn forward_to(&self, x: &Tensor, indices: &Tensor, output_size: $given) -> Tensor {
                x.$method(indices, self.kernel_size, &self.options.output_size(output_size))
            }
        }

        /// Takes values and positions.
        impl Forward<(Tensor, Tensor)> for $name {
            type Output = Tensor;

            /// # Panics
            /// Where the method panics.
            #[track_caller]
            fn forward(&self, (x, indices): &(Tensor, Tensor)) -> Tensor {
                x.$method(indices, self.kernel_size, &self.options)
            }
        }
    };
}

unpool_layer! {
    /// Elements back in the places that [`MaxPool1d`] took them from, zeros elsewhere; see [`Tensor::max_unpool1d`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MaxUnpool1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 4.0, 3.0], &[1, 4]);
    /// let pooled = nn::MaxPool1d::new(2).forward_with_indices(&x);
    /// assert_eq!(nn::MaxUnpool1d::new(2).call(&pooled).to_vec::<f32>()?, [0.0, 2.0, 4.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    MaxUnpool1d, 1, usize as usize, max_unpool1d
}

unpool_layer! {
    /// Elements back in the places that [`MaxPool2d`] took them from, zeros elsewhere; see [`Tensor::max_unpool2d`].
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MaxUnpool2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 4.0, 3.0], &[1, 2, 2]);
    /// let pooled = nn::MaxPool2d::new(2).forward_with_indices(&x);
    /// assert_eq!(nn::MaxUnpool2d::new(2).call(&pooled).to_vec::<f32>()?, [0.0, 0.0, 4.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    MaxUnpool2d, 2, PerDim<2> as impl Into<PerDim<2>>, max_unpool2d
}
