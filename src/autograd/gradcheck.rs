//! Gradients against differences.

use super::{Backward, grad, no_grad};
use crate::engine::Device;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// How [`gradcheck`] compares; the defaults are PyTorch's for `f64`.
#[derive(Clone, Copy, Debug)]
pub struct GradcheckOptions {
    /// Step of the central difference.
    pub eps: f64,
    /// Allowed distance, relative to the difference.
    pub rtol: f64,
    /// Allowed distance, absolute.
    pub atol: f64,
}

impl Default for GradcheckOptions {
    fn default() -> Self {
        GradcheckOptions { eps: 1e-6, rtol: 1e-5, atol: 1e-7 }
    }
}

/// Compares the gradients of `function` with central differences, element by element.
///
/// Runs on the unrounded reference device, where floats are `f64`: in f32 a difference says little. `inputs` may be on
/// any device; those of floats are differentiated. The output, of any shape, is put in the middle of a graph: it is
/// multiplied by weights that are not 1 and differ from element to element, and summed.
///
/// # Errors
/// [`Error::Autograd`] that names the input, the element and both numbers when they differ; what `function` returns.
///
/// ```
/// use lumigrad::{autograd::gradcheck, prelude::*};
/// let x = Tensor::from_slice(&[0.5f64, -1.5], &[2]);
/// gradcheck(|x| Ok(&x[0] * &x[0]), &[x], Default::default())?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn gradcheck(
    function: impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
    options: GradcheckOptions,
) -> Result<()> {
    let device = Device::reference_unrounded();
    device.scope(|| {
        let leaves: Vec<Tensor> = inputs
            .iter()
            .map(|t| {
                let t = no_grad(|| t.detach().to(&device));
                if t.dtype().is_float() { t.requires_grad() } else { t }
            })
            .collect();
        let loss = |inputs: &[Tensor]| -> Result<Tensor> { weighted(&function(inputs)?) };
        let wanted: Vec<&Tensor> = leaves.iter().filter(|t| t.is_requires_grad()).collect();
        let gradients = grad(&loss(&leaves)?, &wanted, Backward::new())?;
        let positions = (0..leaves.len()).filter(|&i| leaves[i].is_requires_grad());
        for (position, gradient) in positions.zip(gradients) {
            check_input(&loss, &leaves, position, &gradient, &options)?;
        }
        Ok(())
    })
}

/// `Σ wᵢ·yᵢ` with weights between 0.5 and 1.5: an upstream gradient that is not 1.
fn weighted(y: &Tensor) -> Result<Tensor> {
    let weights: Vec<f64> = (0..y.numel()).map(|i| 0.5 + (i as f64 * 0.618_034).fract()).collect();
    let weights = Tensor::try_from_slice_on(&weights, y.shape(), y.device())?;
    y.try_mul(&weights)?.try_sum()
}

fn check_input(
    loss: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    leaves: &[Tensor],
    position: usize,
    gradient: &Tensor,
    options: &GradcheckOptions,
) -> Result<()> {
    let values = leaves[position].to_vec::<f64>()?;
    let gradient = gradient.to_vec::<f64>()?;
    let shape = leaves[position].shape();
    let at = |i: usize, value: f64| -> Result<f64> {
        let mut moved = values.clone();
        moved[i] = value;
        let mut inputs = leaves.to_vec();
        inputs[position] = Tensor::try_from_slice_on(&moved, shape, leaves[position].device())?;
        no_grad(|| loss(&inputs))?.item()
    };
    for i in 0..values.len() {
        let difference = (at(i, values[i] + options.eps)? - at(i, values[i] - options.eps)?) / (2.0 * options.eps);
        let distance = (gradient[i] - difference).abs();
        // A NaN is not close to anything.
        let close = distance <= options.atol + options.rtol * difference.abs();
        if !close {
            return Err(Error::Autograd(format!(
                "gradcheck: input {position} of shape {shape:?}, element {i}: the gradient is {}, the difference {difference}",
                gradient[i]
            )));
        }
    }
    Ok(())
}
