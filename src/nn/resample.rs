//! Layers that change the number of pixels.

use super::{Forward, Module};
use crate::ops::interpolate::{InterpolateMode, InterpolateOptions, PerSpatialDim};
use crate::tensor::Tensor;

/// Resampling to a size or by a factor; see [`Tensor::interpolate`].
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.Upsample.html>
///
/// ```
/// use lumigrad::{InterpolateMode, nn, prelude::*};
/// let x = Tensor::ones(&[1, 8, 16, 16]);
/// assert_eq!(nn::Upsample::scale_factor(2.0).call(&x).shape(), [1, 8, 32, 32]);
/// let smooth = nn::Upsample::size([24, 20]).mode(InterpolateMode::Bilinear).align_corners(true);
/// assert_eq!(smooth.call(&x).shape(), [1, 8, 24, 20]);
/// ```
#[derive(Clone, Debug, PartialEq, Module)]
pub struct Upsample {
    #[module(skip)]
    options: InterpolateOptions,
}

impl Upsample {
    /// By a factor: one for all dims, or one for each; nearest neighbours.
    pub fn scale_factor(scale_factor: impl Into<PerSpatialDim<f64>>) -> Self {
        Upsample { options: InterpolateOptions::new().scale_factor(scale_factor) }
    }

    /// To a size: one for all dims, or one for each; nearest neighbours.
    pub fn size(size: impl Into<PerSpatialDim<usize>>) -> Self {
        Upsample { options: InterpolateOptions::new().size(size) }
    }

    /// How values between elements are found.
    pub fn mode(self, mode: InterpolateMode) -> Self {
        Upsample { options: self.options.mode(mode) }
    }

    /// Whether the middles of the outermost elements, and not their outer ends, fall together.
    pub fn align_corners(self, align_corners: bool) -> Self {
        Upsample { options: self.options.align_corners(align_corners) }
    }

    /// Whether places are worked out with the sizes' ratio, and not with the factor.
    pub fn recompute_scale_factor(self, recompute: bool) -> Self {
        Upsample { options: self.options.recompute_scale_factor(recompute) }
    }
}

impl Forward for Upsample {
    type Output = Tensor;

    /// # Panics
    /// As [`Tensor::interpolate`].
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.interpolate(&self.options)
    }
}

/// `[…, C·r², H, W]` to `[…, C, H·r, W·r]`; see [`Tensor::pixel_shuffle`].
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.PixelShuffle.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// assert_eq!(nn::PixelShuffle::new(3).call(&Tensor::ones(&[1, 9, 4, 4])).shape(), [1, 1, 12, 12]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
pub struct PixelShuffle {
    #[module(skip)]
    upscale_factor: usize,
}

impl PixelShuffle {
    /// So many times as many rows and columns.
    pub fn new(upscale_factor: usize) -> Self {
        PixelShuffle { upscale_factor }
    }
}

impl Forward for PixelShuffle {
    type Output = Tensor;

    /// # Panics
    /// As [`Tensor::pixel_shuffle`].
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.pixel_shuffle(self.upscale_factor)
    }
}

/// `[…, C, H·r, W·r]` to `[…, C·r², H, W]`; see [`Tensor::pixel_unshuffle`].
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.PixelUnshuffle.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// assert_eq!(nn::PixelUnshuffle::new(3).call(&Tensor::ones(&[1, 1, 12, 12])).shape(), [1, 9, 4, 4]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
pub struct PixelUnshuffle {
    #[module(skip)]
    downscale_factor: usize,
}

impl PixelUnshuffle {
    /// So many times as few rows and columns.
    pub fn new(downscale_factor: usize) -> Self {
        PixelUnshuffle { downscale_factor }
    }
}

impl Forward for PixelUnshuffle {
    type Output = Tensor;

    /// # Panics
    /// As [`Tensor::pixel_unshuffle`].
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.pixel_unshuffle(self.downscale_factor)
    }
}
