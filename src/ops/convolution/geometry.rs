//! The sizes of a convolution: what its tensors must fit, and which places a stride's classes have.

use crate::tensor::Tensor;
use crate::{Error, Result};

/// The sizes of a convolution, in two dims; one in one dim has an `h` of 1 everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// The operation, for errors.
    pub op: &'static str,
    /// How many of the dims are there: 1 or 2.
    pub dims: usize,
    pub batch: usize,
    pub groups: usize,
    /// Channels of a group.
    pub large_channels: usize,
    pub small_channels: usize,
    pub large: [usize; 2],
    pub small: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros before the large side; those behind it follow from the sizes.
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

/// The steps of an image tensor `[N, C, H, W]`, of which N may be missing, and H in one dim.
pub(super) fn image_strides(t: &Tensor, dims: usize) -> [u32; 4] {
    let (strides, rank) = (t.strides(), t.dim());
    let image = if rank == dims + 2 { strides[0] } else { 0 };
    let height = if dims == 2 { strides[rank - 2] } else { 0 };
    [image, strides[rank - 1 - dims], height, strides[rank - 1]].map(|s| s as u32)
}

/// The steps of a weight `[small channels, large channels of a group, kh, kw]`, of which kh is missing in one dim.
pub(super) fn weight_strides(t: &Tensor) -> [i32; 4] {
    let (strides, rank) = (t.strides(), t.dim());
    let height = if rank == 4 { strides[2] } else { 0 };
    [strides[0], strides[1], height, strides[rank - 1]].map(|s| s as i32)
}

/// The places `start`, `start + stride`, … of one dim of the large side, and the taps that reach them: those whose
/// `start + padding − tap·dilation` is a multiple of the stride, last one first.
pub(super) struct Class {
    pub start: u32,
    pub places: u32,
    pub taps: u32,
    pub first_tap: i32,
    pub tap_step: i32,
    pub dilation: i32,
    pub origin: i32,
}

impl Class {
    /// None when the class has no place.
    pub fn new(geometry: &Geometry, dim: usize, start: usize) -> Option<Class> {
        let (size, stride, kernel) = (geometry.large[dim], geometry.stride[dim], geometry.kernel[dim] as i64);
        let (s, d) = (stride as i64, geometry.dilation[dim] as i64);
        if start >= size {
            return None;
        }
        let shift = (start + geometry.padding[dim]) as i64;
        let step = s / gcd(s, d);
        let taps = (0..kernel.min(step)).find(|tap| (shift - tap * d).rem_euclid(s) == 0);
        let (first, count) = taps.map_or((0, 0), |first| (first, (kernel - first + step - 1) / step));
        let last = first + (count - 1).max(0) * step;
        Some(Class {
            start: start as u32,
            places: (size - start).div_ceil(stride) as u32,
            taps: count as u32,
            first_tap: last as i32,
            tap_step: -step as i32,
            dilation: (step * d / s) as i32,
            origin: ((shift - last * d).div_euclid(s)) as i32,
        })
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Checks the tensors of a convolution and finds how many dims there are: gives batch (1 without that dim), channels and
/// spatial sizes of the input, with an `h` of 1 in one dim.
pub(super) fn check_image(
    op: &'static str,
    x: &Tensor,
    weight: &Tensor,
    dims: usize,
) -> Result<(usize, usize, [usize; 2])> {
    let (shape, w) = (x.shape(), weight.shape());
    let sizes = if dims == 1 { "L" } else { "H, W" };
    if w.len() != dims + 2 || (shape.len() != dims + 2 && shape.len() != dims + 1) {
        let kernel = if dims == 1 { "k" } else { "kh, kw" };
        let detail = format!(
            "needs an input [N, C, {sizes}] or [C, {sizes}] and a weight of {} dims that ends in [{kernel}], \
             got shapes {shape:?} and {w:?}",
            dims + 2
        );
        return Err(Error::shape(op, detail));
    }
    let batch = if shape.len() == dims + 2 { shape[0] } else { 1 };
    let spatial = two(&shape[shape.len() - dims..], 1);
    if spatial.contains(&0) || w.iter().enumerate().any(|(d, &n)| n == 0 && d != 1) {
        let detail = format!("an input of shape {shape:?} and a weight of shape {w:?} leave nothing to sum over");
        return Err(Error::shape(op, detail));
    }
    Ok((batch, shape[shape.len() - dims - 1], spatial))
}

/// Numbers of one or two dims as those of two.
pub(super) fn two(numbers: &[usize], missing: usize) -> [usize; 2] {
    match numbers {
        [w] => [missing, *w],
        [h, w] => [*h, *w],
        _ => unreachable!("convolutions have one or two dims"),
    }
}

pub(super) fn check_bias(op: &'static str, bias: Option<&Tensor>, channels: usize) -> Result<()> {
    match bias.map(Tensor::shape) {
        Some(shape) if shape != [channels] => {
            Err(Error::shape(op, format!("the bias needs the shape [{channels}], it has {shape:?}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_positive(op: &'static str, what: &str, numbers: &[usize]) -> Result<()> {
    if numbers.contains(&0) {
        return Err(Error::argument(op, format!("{what} must be at least 1, not {numbers:?}")));
    }
    Ok(())
}
