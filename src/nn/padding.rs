//! Padding layers.

use super::{Forward, Module};
use crate::ops::pad::PadMode;
use crate::tensor::Tensor;

/// Pads of a layer: one number for all sides, or those before and behind each dim, last dim first; negative ones crop.
///
/// ```
/// use lumigrad::nn::Pads;
/// assert_eq!(Pads::<2>::from(1), Pads::from([1, 1, 1, 1]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pads<const N: usize>(Vec<i64>);

impl<const N: usize> From<i64> for Pads<N> {
    fn from(all: i64) -> Self {
        Pads(vec![all; 2 * N])
    }
}

impl From<[i64; 2]> for Pads<1> {
    fn from(sides: [i64; 2]) -> Self {
        Pads(sides.to_vec())
    }
}

impl From<[i64; 4]> for Pads<2> {
    fn from(sides: [i64; 4]) -> Self {
        Pads(sides.to_vec())
    }
}

macro_rules! padding_layer {
    ($($(#[$meta:meta])* $name:ident, $dims:literal, $mode:expr;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Module)]
        pub struct $name {
            #[module(skip)]
            padding: Pads<$dims>,
        }

        impl $name {
            /// One pad for all sides, or those before and behind each dim, last dim first.
            pub fn new(padding: impl Into<Pads<$dims>>) -> Self {
                $name { padding: padding.into() }
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// As [`Tensor::pad`].
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.pad(&self.padding.0[..], $mode)
            }
        }
    )*};
}

padding_layer! {
    /// Zeros around rows and columns. <https://pytorch.org/docs/stable/generated/torch.nn.ZeroPad2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::ZeroPad2d::new([1, 1, 2, 0]).call(&Tensor::ones(&[1, 1, 3, 3])).shape(), [1, 1, 5, 5]);
    /// ```
    ZeroPad2d, 2, PadMode::Constant(0.0);
    /// The last dim mirrored at its ends. <https://pytorch.org/docs/stable/generated/torch.nn.ReflectionPad1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[0.0f32, 1.0, 2.0, 3.0], &[1, 4]);
    /// assert_eq!(nn::ReflectionPad1d::new(2).call(&x).to_vec::<f32>()?, [2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ReflectionPad1d, 1, PadMode::Reflect;
    /// Rows and columns mirrored at their ends. <https://pytorch.org/docs/stable/generated/torch.nn.ReflectionPad2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::ReflectionPad2d::new(2).call(&Tensor::ones(&[1, 1, 3, 3])).shape(), [1, 1, 7, 7]);
    /// ```
    ReflectionPad2d, 2, PadMode::Reflect;
    /// The last dim's ends again. <https://pytorch.org/docs/stable/generated/torch.nn.ReplicationPad1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3]);
    /// assert_eq!(nn::ReplicationPad1d::new([2, 1]).call(&x).to_vec::<f32>()?, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ReplicationPad1d, 1, PadMode::Replicate;
    /// The ends of rows and columns again. <https://pytorch.org/docs/stable/generated/torch.nn.ReplicationPad2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::ReplicationPad2d::new(2).call(&Tensor::ones(&[1, 1, 3, 3])).shape(), [1, 1, 7, 7]);
    /// ```
    ReplicationPad2d, 2, PadMode::Replicate;
    /// The last dim again from its other end. <https://pytorch.org/docs/stable/generated/torch.nn.CircularPad1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3]);
    /// assert_eq!(nn::CircularPad1d::new(1).call(&x).to_vec::<f32>()?, [3.0, 1.0, 2.0, 3.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    CircularPad1d, 1, PadMode::Circular;
    /// Rows and columns again from their other ends. <https://pytorch.org/docs/stable/generated/torch.nn.CircularPad2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::CircularPad2d::new(2).call(&Tensor::ones(&[1, 1, 3, 3])).shape(), [1, 1, 7, 7]);
    /// ```
    CircularPad2d, 2, PadMode::Circular;
}

macro_rules! constant_layer {
    ($($(#[$meta:meta])* $name:ident, $dims:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Module)]
        pub struct $name {
            #[module(skip)]
            padding: Pads<$dims>,
            #[module(skip)]
            value: f64,
        }

        impl $name {
            /// Pads as one number for all sides, or before and behind each dim, last dim first; and what to fill with.
            pub fn new(padding: impl Into<Pads<$dims>>, value: f64) -> Self {
                $name { padding: padding.into(), value }
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            /// # Panics
            /// As [`Tensor::pad`].
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.pad(&self.padding.0[..], self.value)
            }
        }
    )*};
}

constant_layer! {
    /// A number at both ends of the last dim. <https://pytorch.org/docs/stable/generated/torch.nn.ConstantPad1d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[1, 2]);
    /// assert_eq!(nn::ConstantPad1d::new([2, -1], 3.5).call(&x).to_vec::<f32>()?, [3.5, 3.5, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ConstantPad1d, 1;
    /// A number around rows and columns. <https://pytorch.org/docs/stable/generated/torch.nn.ConstantPad2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// assert_eq!(nn::ConstantPad2d::new(2, 3.5).call(&Tensor::ones(&[1, 3, 3])).shape(), [1, 7, 7]);
    /// ```
    ConstantPad2d, 2;
}
