//! The arguments of convolutions besides the tensors.

/// A number for each spatial dim: one for all of them, or an array.
///
/// ```
/// use lumigrad::PerDim;
/// assert_eq!(PerDim::<2>::from(3), PerDim([3, 3]));
/// assert_eq!(PerDim::from([1, 2]), PerDim([1, 2]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerDim<const N: usize>(pub [usize; N]);

impl<const N: usize> From<usize> for PerDim<N> {
    fn from(all: usize) -> Self {
        PerDim([all; N])
    }
}

impl<const N: usize> From<[usize; N]> for PerDim<N> {
    fn from(each: [usize; N]) -> Self {
        PerDim(each)
    }
}

impl From<(usize, usize)> for PerDim<2> {
    fn from((h, w): (usize, usize)) -> Self {
        PerDim([h, w])
    }
}

/// How many zeros a convolution sees around its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<const N: usize> {
    /// So many before and behind each dim.
    Sizes([usize; N]),
    /// As many as keep the size, with a stride of 1; where their number is odd, the last one goes behind.
    Same,
    /// None.
    Valid,
}

impl<const N: usize, T: Into<PerDim<N>>> From<T> for Padding<N> {
    fn from(sizes: T) -> Self {
        Padding::Sizes(sizes.into().0)
    }
}

/// The arguments of a convolution besides the tensors; the defaults are PyTorch's.
///
/// ```
/// use lumigrad::{Conv2dOptions, prelude::*};
/// let (x, weight) = (Tensor::ones(&[1, 2, 5, 5]), Tensor::ones(&[4, 2, 3, 3]));
/// let y = x.conv2d(&weight, None, &Conv2dOptions::new().stride(2).padding([1, 0]));
/// assert_eq!(y.shape(), [1, 4, 3, 2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions<const N: usize> {
    /// Steps between places.
    pub stride: [usize; N],
    /// Zeros around the input.
    pub padding: Padding<N>,
    /// Steps between the taps of the kernel.
    pub dilation: [usize; N],
    /// Into how many groups the channels are divided, each with a convolution of its own.
    pub groups: usize,
}

/// The arguments of [`crate::Tensor::conv1d`].
pub type Conv1dOptions = ConvOptions<1>;
/// The arguments of [`crate::Tensor::conv2d`].
pub type Conv2dOptions = ConvOptions<2>;

impl<const N: usize> ConvOptions<N> {
    /// Stride 1, no padding, no dilation, one group.
    pub fn new() -> Self {
        ConvOptions { stride: [1; N], padding: Padding::Sizes([0; N]), dilation: [1; N], groups: 1 }
    }

    /// Steps between places.
    pub fn stride(self, stride: impl Into<PerDim<N>>) -> Self {
        ConvOptions { stride: stride.into().0, ..self }
    }

    /// Zeros around the input.
    pub fn padding(self, padding: impl Into<Padding<N>>) -> Self {
        ConvOptions { padding: padding.into(), ..self }
    }

    /// Steps between the taps of the kernel.
    pub fn dilation(self, dilation: impl Into<PerDim<N>>) -> Self {
        ConvOptions { dilation: dilation.into().0, ..self }
    }

    /// Groups of channels.
    pub fn groups(self, groups: usize) -> Self {
        ConvOptions { groups, ..self }
    }
}

impl<const N: usize> Default for ConvOptions<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The arguments of a transposed convolution besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTransposeOptions<const N: usize> {
    /// Steps between what neighbouring places of the input give.
    pub stride: [usize; N],
    /// How much is cut off around the output.
    pub padding: [usize; N],
    /// How much is added behind each dim of the output, to choose among the sizes that a stride leaves open.
    pub output_padding: [usize; N],
    /// Into how many groups the channels are divided, each with a convolution of its own.
    pub groups: usize,
    /// Steps between the taps of the kernel.
    pub dilation: [usize; N],
}

/// The arguments of [`crate::Tensor::conv_transpose1d`].
pub type ConvTranspose1dOptions = ConvTransposeOptions<1>;
/// The arguments of [`crate::Tensor::conv_transpose2d`].
pub type ConvTranspose2dOptions = ConvTransposeOptions<2>;

impl<const N: usize> ConvTransposeOptions<N> {
    /// Stride 1, no padding, no dilation, one group.
    pub fn new() -> Self {
        ConvTransposeOptions { stride: [1; N], padding: [0; N], output_padding: [0; N], groups: 1, dilation: [1; N] }
    }

    /// Steps between what neighbouring places of the input give.
    pub fn stride(self, stride: impl Into<PerDim<N>>) -> Self {
        ConvTransposeOptions { stride: stride.into().0, ..self }
    }

    /// How much is cut off around the output.
    pub fn padding(self, padding: impl Into<PerDim<N>>) -> Self {
        ConvTransposeOptions { padding: padding.into().0, ..self }
    }

    /// How much is added behind each dim of the output.
    pub fn output_padding(self, output_padding: impl Into<PerDim<N>>) -> Self {
        ConvTransposeOptions { output_padding: output_padding.into().0, ..self }
    }

    /// Groups of channels.
    pub fn groups(self, groups: usize) -> Self {
        ConvTransposeOptions { groups, ..self }
    }

    /// Steps between the taps of the kernel.
    pub fn dilation(self, dilation: impl Into<PerDim<N>>) -> Self {
        ConvTransposeOptions { dilation: dilation.into().0, ..self }
    }
}

impl<const N: usize> Default for ConvTransposeOptions<N> {
    fn default() -> Self {
        Self::new()
    }
}
