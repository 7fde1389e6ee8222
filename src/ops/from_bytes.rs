//! Bytes of images as floats: `byte / divisor + shift`, the quotient rounded before the sum.
//!
//! The bytes travel four to a word and are converted on the device: a quarter of the traffic that floats would need.
//! `divisor` 255 and `shift` 0 is torchvision's `ToTensor`, to the last bit.
//! <https://pytorch.org/vision/stable/generated/torchvision.transforms.ToTensor.html>

use std::sync::Arc;

use smallvec::smallvec;

use super::methods_support::{is_failure, or_panic};
use super::{Attrs, Call, Operation, Outputs, apply, cases, single};
use crate::dtype::{DType, Packed};
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Device, Grid, HostCall, Kernel, Params, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::tensor::shape::{checked_numel, numel};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/from_bytes.wgsl`.
    pub struct FromBytesParams {
        n: u32,
        offset: u32,
        divisor: f32,
        shift: f32,
    }
}

static FORWARD: Kernel = Kernel {
    name: "from_bytes.forward",
    source: &[include_str!("../../shaders/from_bytes.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("words"), Binding::Write("y")],
    params: ParamsLayout::of::<FromBytesParams>(),
    variants: Variant::ONLY,
    grid: |p| Grid::elements(p.get::<FromBytesParams>().n),
    reference: twin,
    bound,
};

/// With a divisor of at most 12 bits, such as 255, the shader's remainder is exact and so is the rounding of its quotient:
/// n / d is never nearer than 2⁻³³ to the middle of two floats. With others the quotient may be the neighbour.
fn bound(params: &Params<'_>) -> Bound {
    let short = params.get::<FromBytesParams>().divisor.to_bits() & 0xfff == 0;
    if short { Bound::Exact } else { Bound::Scaled { ulps: 1.0, magnitude } }
}

fn bytes(call: &HostCall<'_>, convert: fn(f32, &FromBytesParams) -> f32) -> Result<()> {
    let p: &FromBytesParams = call.params();
    let (words, mut y) = (call.words(0), call.floats_mut(1));
    for i in 0..p.n as usize {
        let byte = words[p.offset as usize + i / 4].to_le_bytes()[i % 4];
        y[i] = f64::from(convert(f32::from(byte), p));
    }
    Ok(())
}

/// In f32, since the rounding of the quotient is part of the definition.
fn twin(call: &HostCall<'_>) -> Result<()> {
    bytes(call, |byte, p| byte / p.divisor + p.shift)
}

fn magnitude(call: &HostCall<'_>) -> Result<()> {
    bytes(call, |byte, p| (byte / p.divisor).abs() + p.shift.abs())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let shape = call.attrs().get_sizes("size");
    let (divisor, shift) = (call.attrs().get_float("divisor"), call.attrs().get_float("shift"));
    // Outside of this range the quotients of bytes are no normal f32.
    if !(1e-30..=1e30).contains(&divisor.abs()) {
        return Err(Error::argument(call.op(), format!("the divisor must lie between 1e-30 and 1e30, not {divisor}")));
    }
    let words = call.input(0);
    let n = checked_numel(call.op(), &shape)?;
    if words.dtype() != DType::U32 || words.dim() != 1 || words.numel() != n.div_ceil(4) {
        let detail =
            format!("shape {shape:?} needs {} u32 words, got {} {}", n.div_ceil(4), words.numel(), words.dtype());
        return Err(Error::shape(call.op(), detail));
    }
    let words = words.try_contiguous()?;
    let y = call.output(DType::F32, &shape);
    let params =
        FromBytesParams { n: n as u32, offset: words.offset() as u32, divisor: divisor as f32, shift: shift as f32 };
    call.dispatch(&FORWARD, 0, &[&words, &y], &params);
    Ok(smallvec![y])
}

/// The operation `from_bytes`: its input holds the bytes, four to a word.
pub(crate) static FROM_BYTES: Operation =
    Operation { name: "from_bytes", kernels: &[&FORWARD], forward, vjp: None, cases };

fn attrs(shape: &[usize], divisor: f64, shift: f64) -> Attrs {
    Attrs::new().sizes("size", shape).float("divisor", divisor).float("shift", shift)
}

fn cases() -> Vec<cases::Case> {
    use cases::{Case, Fill, Input};
    let packed = |n: usize| Input::floats(&[n.div_ceil(4)]).dtype(DType::U32);
    let random = |n: usize| packed(n).fill(Fill::Whole(0, 1 << 32));
    let case = |name: &str, shape: &[usize], divisor, shift| {
        Case::new(name, vec![random(numel(shape))]).attrs(attrs(shape, divisor, shift))
    };
    vec![
        // As many random ones that none is missing.
        case("every byte", &[64, 64], 255.0, 0.0),
        case("every byte, odd divisor", &[4096], 0.3081, -0.4242),
        case("images", &[3, 1, 5, 7], 255.0, 0.0),
        case("shifted", &[2, 9], 127.5, -1.0),
        case("whole", &[11], 1.0, 0.0),
        case("negative", &[13], -255.0, 1.0),
        case("one", &[1], 255.0, 0.0),
        case("0-d", &[], 255.0, 0.0),
        case("empty", &[0, 28], 255.0, 0.0),
        case("large", &[64, 28, 28], 255.0, -0.5),
        case("zero divisor", &[4], 0.0, 0.0).fails(),
        Case::new("too few", vec![random(4)]).attrs(attrs(&[5], 255.0, 0.0)).fails(),
        Case::new("no words", vec![Input::ints(&[1], 0, 9)]).attrs(attrs(&[4], 255.0, 0.0)).fails(),
    ]
}

/// Bytes of images, as floats on a device.
impl Tensor {
    /// A tensor of `byte / divisor + shift` for each byte, row by row, computed on the device; the bytes are uploaded as they
    /// are.
    ///
    /// `divisor` 255 and `shift` 0 give what torchvision's `ToTensor` gives.
    ///
    /// # Panics
    /// When there are not as many bytes as the shape has elements, or the divisor's magnitude lies outside 1e-30 to 1e30.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let device = Device::reference();
    /// let image = Tensor::from_bytes_on(&[0, 51, 102, 255], &[1, 2, 2], 255.0, 0.0, &device);
    /// assert_eq!(image.to_vec::<f32>()?, [0.0, 0.2, 0.4, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn from_bytes_on(bytes: &[u8], shape: &[usize], divisor: f64, shift: f64, device: &Device) -> Tensor {
        match Self::try_from_bytes_on(bytes, shape, divisor, shift, device) {
            Err(error) if is_failure(&error) => {
                Tensor::from_content(Err(error), shape.into(), DType::F32, device.clone())
            }
            other => or_panic(other),
        }
    }

    /// [`Tensor::from_bytes_on`], with mistakes as errors.
    ///
    /// # Errors
    /// A mistake in the arguments, or a failure of the device.
    pub fn try_from_bytes_on(
        bytes: &[u8],
        shape: &[usize],
        divisor: f64,
        shift: f64,
        device: &Device,
    ) -> Result<Tensor> {
        if checked_numel("from_bytes", shape)? != bytes.len() {
            let detail = format!("{} bytes do not fill the shape {shape:?}", bytes.len());
            return Err(Error::shape("from_bytes", detail));
        }
        let padded;
        let whole = if bytes.len().is_multiple_of(4) {
            bytes
        } else {
            padded = [bytes, &[0; 3][..bytes.len().wrapping_neg() % 4]].concat();
            &padded
        };
        let buffer = device.upload(DType::U32, &Packed::Bytes(whole))?;
        let words = smallvec![bytes.len().div_ceil(4)];
        let words = Tensor::from_content(Ok(Arc::new(buffer)), words, DType::U32, device.clone());
        single(apply(&FROM_BYTES, &[&words], attrs(shape, divisor, shift)))?.healthy()
    }
}
