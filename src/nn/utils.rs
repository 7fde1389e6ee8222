//! Clipping of gradients: `torch.nn.utils`.

use std::borrow::Borrow;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::Parameter;
use crate::autograd::no_grad;
use crate::engine::{Buffer, Device};
use crate::ops::clip_grad::{CHUNK, ROW, Ranges};
use crate::ops::grad_scaler;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The arguments of [`clip_grad_norm_with`] that have defaults.
#[derive(Clone, Copy, Debug)]
pub struct ClipGradNormOptions {
    /// The norm's p, above 0; infinity for the largest magnitude (2).
    pub norm_type: f64,
    /// Fail when the norm is infinite or NaN, before anything is changed (false). Reads the norm, which waits for the
    /// device.
    pub error_if_nonfinite: bool,
}

impl Default for ClipGradNormOptions {
    fn default() -> Self {
        ClipGradNormOptions { norm_type: 2.0, error_if_nonfinite: false }
    }
}

/// Scales the gradients of all parameters together so that their norm is at most `max_norm`. Gives the norm that they
/// had, as a tensor without dims; nothing is read.
///
/// # Errors
/// When parameters with gradients lie on different devices, or a device fails.
///
/// ```
/// use lumigrad::{nn, optim::SGD, prelude::*};
/// let model = nn::Linear::new(4, 2);
/// let mut optimizer = SGD::new(model.parameters(), 0.1);
/// (model.call(&Tensor::ones(&[3, 4])) * 100.0).sum().backward()?;
/// let norm = nn::utils::clip_grad_norm_(model.parameters(), 1.0)?;
/// optimizer.step()?;
/// assert!(norm.item::<f32>()? > 100.0);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn clip_grad_norm_(parameters: impl IntoIterator<Item = impl Borrow<Parameter>>, max_norm: f64) -> Result<Tensor> {
    clip_grad_norm_with(parameters, max_norm, ClipGradNormOptions::default())
}

/// [`clip_grad_norm_`] with another norm, or an error for a norm that is no number.
///
/// # Errors
/// As there; also when `norm_type` is not above 0, and where it is asked for, when the norm is infinite or NaN.
///
/// ```
/// use lumigrad::{nn::{self, utils::{ClipGradNormOptions, clip_grad_norm_with}}, prelude::*};
/// let w = Parameter::new(Tensor::ones(&[2]));
/// (w.get() * Tensor::from_slice(&[3.0f32, -8.0], &[2])).sum().backward()?;
/// let options = ClipGradNormOptions { norm_type: f64::INFINITY, ..Default::default() };
/// assert_eq!(clip_grad_norm_with([w.clone()], 4.0, options)?.item::<f32>()?, 8.0);
/// let clipped = w.grad().unwrap().to_vec::<f32>()?;
/// assert!((clipped[0] - 1.5).abs() < 1e-5 && (clipped[1] + 4.0).abs() < 1e-5);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn clip_grad_norm_with(
    parameters: impl IntoIterator<Item = impl Borrow<Parameter>>,
    max_norm: f64,
    options: ClipGradNormOptions,
) -> Result<Tensor> {
    let ClipGradNormOptions { norm_type, error_if_nonfinite } = options;
    no_grad(|| {
        let Some(gradients) = Gradients::of("clip_grad_norm_", parameters)? else { return Ok(Tensor::scalar(0.0)) };
        let norm = gradients.ranges.norm(norm_type)?;
        if error_if_nonfinite {
            let value = norm.item::<f64>()?;
            if !value.is_finite() {
                let detail = format!(
                    "the norm of order {norm_type} of the gradients is {value}, so they can't be clipped; without \
                     `error_if_nonfinite` they are scaled by it anyway"
                );
                return Err(Error::argument("clip_grad_norm_", detail));
            }
        }
        gradients.ranges.clip_norm(&norm, max_norm)?;
        gradients.changed();
        Ok(norm)
    })
}

/// Brings every element of every gradient to `-clip_value … clip_value`.
///
/// # Errors
/// When `clip_value` is negative, parameters with gradients lie on different devices, or a device fails.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let w = Parameter::new(Tensor::ones(&[2]));
/// (w.get() * Tensor::from_slice(&[3.0f32, -8.0], &[2])).sum().backward()?;
/// nn::utils::clip_grad_value_([w.clone()], 5.0)?;
/// assert_eq!(w.grad().unwrap().to_vec::<f32>()?, [3.0, -5.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn clip_grad_value_(parameters: impl IntoIterator<Item = impl Borrow<Parameter>>, clip_value: f64) -> Result<()> {
    no_grad(|| {
        let Some(gradients) = Gradients::of("clip_grad_value_", parameters)? else { return Ok(()) };
        gradients.ranges.clip_value(clip_value)?;
        gradients.changed();
        Ok(())
    })
}

/// Divides all gradients by the scale, on the device, and sets the flag when an element is no finite number. False where
/// there is no gradient.
pub(crate) fn unscale_gradients(
    parameters: impl IntoIterator<Item = Parameter>,
    scale: &Tensor,
    found: &Tensor,
) -> Result<bool> {
    no_grad(|| {
        let Some(gradients) = Gradients::of("unscale_", parameters)? else { return Ok(false) };
        grad_scaler::unscale(&gradients.ranges, scale, found)?;
        gradients.changed();
        Ok(true)
    })
}

/// The gradients of parameters, and where they lie.
struct Gradients {
    list: Vec<Tensor>,
    ranges: Ranges,
}

impl Gradients {
    /// `None` where there is not one element.
    fn of(op: &'static str, parameters: impl IntoIterator<Item = impl Borrow<Parameter>>) -> Result<Option<Gradients>> {
        let mut seen = FxHashSet::default();
        let mut list = Vec::new();
        for parameter in parameters.into_iter().filter(|p| seen.insert(p.borrow().id())) {
            let leaf = parameter.borrow().leaf();
            let Some(gradient) = leaf.grad().filter(|g| g.numel() > 0) else { continue };
            // Threads take four elements that lie side by side.
            if gradient.is_contiguous() && gradient.offset() % 4 == 0 {
                list.push(gradient.healthy()?);
            } else {
                let copy = gradient.try_copy()?.healthy()?;
                leaf.set_grad(Some(copy.clone()));
                list.push(copy);
            }
        }
        let Some(device) = list.first().map(|g| g.device().clone()) else { return Ok(None) };
        if let Some(other) = list.iter().find(|g| *g.device() != device) {
            let (first, second) = (device.to_string(), other.device().to_string());
            return Err(Error::Devices { op, first, second });
        }
        let ranges = ranges(&list, &device)?;
        Ok(Some(Gradients { list, ranges }))
    }

    fn changed(&self) {
        self.list.iter().for_each(Tensor::bump_version);
    }
}

/// A buffer with gradients in it.
struct Piece<'a> {
    buffer: &'a Arc<Buffer>,
    gradient: &'a Tensor,
    table: Vec<u32>,
    chunks: usize,
}

/// The table of each buffer. Parts of sums are numbered in the order of the parameters, wherever these lie.
fn ranges(list: &[Tensor], device: &Device) -> Result<Ranges> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut part = 0;
    for gradient in list {
        let buffer = gradient.buffer()?;
        let at = pieces.iter().position(|p| Arc::ptr_eq(p.buffer, buffer)).unwrap_or_else(|| {
            pieces.push(Piece { buffer, gradient, table: Vec::new(), chunks: 0 });
            pieces.len() - 1
        });
        let piece = &mut pieces[at];
        let row: [usize; ROW] = [gradient.offset(), gradient.numel(), piece.chunks, part];
        piece.table.extend(row.map(|n| n as u32));
        let chunks = gradient.numel().div_ceil(CHUNK);
        piece.chunks += chunks;
        part += chunks;
    }
    let chunks = pieces.iter().map(|p| p.chunks as i64).collect();
    let pair = |p: &Piece<'_>| Ok((Tensor::try_from_slice_on(&p.table, &[p.table.len()], device)?, p.gradient.clone()));
    Ok(Ranges { pairs: pieces.iter().map(pair).collect::<Result<_>>()?, chunks })
}
