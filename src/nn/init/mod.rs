//! Starting values of parameters: PyTorch's `torch.nn.init`.
//!
//! Every function writes in place, outside of any graph, wherever the parameter lies. Random ones draw from the stream of
//! the parameter's device, so the same seed gives the same values on every device.
//!
//! <https://pytorch.org/docs/stable/nn.init.html>
//!
//! ```
//! use lumigrad::nn::init::{self, FanMode, Nonlinearity};
//! use lumigrad::{nn, prelude::*};
//! let layer = nn::Linear::new(100, 50);
//! init::kaiming_normal_(&layer.weight, 0.0, FanMode::FanIn, Nonlinearity::Relu)?;
//! init::zeros_(layer.bias.as_ref().unwrap())?;
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! Every function returns an error when its arguments make no sense for the shape, or the device fails.

mod matrices;
#[cfg(test)]
mod tests;
mod truncated;

pub use matrices::{dirac_, eye_, orthogonal_, sparse_};
pub use truncated::trunc_normal_;

use super::{Buffer, Parameter};
use crate::autograd::no_grad;
use crate::engine::RandomState;
use crate::ops;
use crate::random::{normal2, philox};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What can be given starting values: a [`Parameter`], a [`Buffer`] or a tensor of floats.
pub trait Initialize: sealed::Sealed {
    /// The tensor whose memory is written.
    fn target(&self) -> Tensor;
}

impl Initialize for Parameter {
    fn target(&self) -> Tensor {
        self.get()
    }
}

impl Initialize for Buffer {
    fn target(&self) -> Tensor {
        self.get()
    }
}

impl Initialize for Tensor {
    fn target(&self) -> Tensor {
        self.clone()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::nn::Parameter {}
    impl Sealed for crate::nn::Buffer {}
    impl Sealed for crate::Tensor {}
}

/// Writes values into the memory of a tensor.
fn write(target: &Tensor, values: &Tensor) -> Result<()> {
    no_grad(|| target.copy_(values))
}

/// Writes values that were made on the host.
fn write_host(target: &Tensor, values: &[f32]) -> Result<()> {
    write(target, &Tensor::try_from_slice_on(values, target.shape(), target.device())?)
}

/// Random words of the host for one operation of a device's stream: a block of four for each element and attempt.
struct Draws(RandomState);

impl Draws {
    fn new(target: &Tensor) -> Draws {
        Draws(target.device().next_random())
    }

    fn words(&self, element: usize, attempt: u32) -> [u32; 4] {
        let RandomState { seed, counter } = self.0;
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        let [low, high] = halves(counter);
        philox([element as u32, attempt, low, high], halves(seed))
    }

    fn normal(&self, element: usize) -> f64 {
        let [a, b, ..] = self.words(element, 0);
        normal2(a, b).0
    }
}

/// Numbers evenly spread over `a..b`; PyTorch's defaults are 0 and 1.
///
/// # Errors
/// When the range is empty or not finite.
pub fn uniform_(target: &impl Initialize, a: f64, b: f64) -> Result<()> {
    let target = target.target();
    write(&target, &ops::random::uniform(target.shape(), a, b, target.device())?)
}

/// Normally distributed numbers; PyTorch's defaults are mean 0 and standard deviation 1.
///
/// # Errors
/// When `std` is negative.
pub fn normal_(target: &impl Initialize, mean: f64, std: f64) -> Result<()> {
    let target = target.target();
    write(&target, &ops::random::normal(target.shape(), mean, std, target.device())?)
}

/// One value everywhere.
///
/// # Errors
/// When the device fails.
pub fn constant_(target: &impl Initialize, value: f64) -> Result<()> {
    no_grad(|| target.target().fill_(value))
}

/// Zeros.
///
/// # Errors
/// When the device fails.
pub fn zeros_(target: &impl Initialize) -> Result<()> {
    constant_(target, 0.0)
}

/// Ones.
///
/// # Errors
/// When the device fails.
pub fn ones_(target: &impl Initialize) -> Result<()> {
    constant_(target, 1.0)
}

/// Uniform in ±`gain·√(6 / (fan_in + fan_out))` (Glorot and Bengio 2010). PyTorch's default gain is 1.
///
/// # Errors
/// When there are fewer than two dims.
pub fn xavier_uniform_(target: &impl Initialize, gain: f64) -> Result<()> {
    let bound = 3f64.sqrt() * xavier_std("xavier_uniform_", &target.target(), gain)?;
    uniform_(target, -bound, bound)
}

/// Normal with standard deviation `gain·√(2 / (fan_in + fan_out))` (Glorot and Bengio 2010). PyTorch's default gain is 1.
///
/// # Errors
/// When there are fewer than two dims, or the gain is negative.
pub fn xavier_normal_(target: &impl Initialize, gain: f64) -> Result<()> {
    let std = xavier_std("xavier_normal_", &target.target(), gain)?;
    normal_(target, 0.0, std)
}

/// What PyTorch draws weights and biases of linear layers and convolutions from at first: 1/√fan_in, or 0 without inputs,
/// where there is nothing to scale.
pub(super) fn fan_in_bound(fan_in: usize) -> f64 {
    if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f64).sqrt() }
}

fn xavier_std(op: &'static str, target: &Tensor, gain: f64) -> Result<f64> {
    let (fan_in, fan_out) = fans(op, target.shape())?;
    Ok(gain * (2.0 / (fan_in + fan_out).max(1) as f64).sqrt())
}

/// Uniform in ±`gain·√(3 / fan)` (He, Zhang, Ren and Sun 2015), where the gain is that of the nonlinearity; `a` is the
/// slope of a leaky ReLU. PyTorch's defaults are 0, [`FanMode::FanIn`] and [`Nonlinearity::LeakyRelu`]; its linear and
/// convolutional layers start with `a = √5`.
///
/// # Errors
/// When there are fewer than two dims.
pub fn kaiming_uniform_(target: &impl Initialize, a: f64, mode: FanMode, nonlinearity: Nonlinearity) -> Result<()> {
    let bound = 3f64.sqrt() * kaiming_std("kaiming_uniform_", &target.target(), a, mode, nonlinearity)?;
    uniform_(target, -bound, bound)
}

/// Normal with standard deviation `gain / √fan` (He, Zhang, Ren and Sun 2015), where the gain is that of the nonlinearity;
/// `a` is the slope of a leaky ReLU. PyTorch's defaults are 0, [`FanMode::FanIn`] and [`Nonlinearity::LeakyRelu`].
///
/// # Errors
/// When there are fewer than two dims.
pub fn kaiming_normal_(target: &impl Initialize, a: f64, mode: FanMode, nonlinearity: Nonlinearity) -> Result<()> {
    let std = kaiming_std("kaiming_normal_", &target.target(), a, mode, nonlinearity)?;
    normal_(target, 0.0, std)
}

fn kaiming_std(op: &'static str, target: &Tensor, a: f64, mode: FanMode, nonlinearity: Nonlinearity) -> Result<f64> {
    let (fan_in, fan_out) = fans(op, target.shape())?;
    let fan = match mode {
        FanMode::FanIn => fan_in,
        FanMode::FanOut => fan_out,
    };
    // Without any fan there is nothing to initialise.
    Ok(calculate_gain(nonlinearity, Some(a)) / (fan.max(1) as f64).sqrt())
}

/// Which side of a layer keeps its variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FanMode {
    /// The forward pass.
    #[default]
    FanIn,
    /// The backward pass.
    FanOut,
}

/// What follows a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Nothing, or a layer that is linear too (PyTorch's `"conv1d"`, … are the same).
    Linear,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// A ReLU with a slope below 0.
    #[default]
    LeakyRelu,
    /// The scaled exponential linear unit.
    Selu,
}

/// The factor that PyTorch recommends for a nonlinearity; `param` is the slope of a leaky ReLU, 0.01 if missing.
///
/// ```
/// use lumigrad::nn::init::{Nonlinearity, calculate_gain};
/// assert_eq!(calculate_gain(Nonlinearity::Tanh, None), 5.0 / 3.0);
/// assert_eq!(calculate_gain(Nonlinearity::LeakyRelu, Some(1.0)), 1.0);
/// ```
pub fn calculate_gain(nonlinearity: Nonlinearity, param: Option<f64>) -> f64 {
    match nonlinearity {
        Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
        Nonlinearity::Tanh => 5.0 / 3.0,
        Nonlinearity::Relu => 2f64.sqrt(),
        Nonlinearity::LeakyRelu => (2.0 / (1.0 + param.unwrap_or(0.01).powi(2))).sqrt(),
        Nonlinearity::Selu => 0.75,
    }
}

/// How many numbers each output is made of, and how many outputs each input goes to: the second and the first size, times
/// the sizes of all further dims.
///
/// ```
/// use lumigrad::nn::init::calculate_fan_in_and_fan_out;
/// assert_eq!(calculate_fan_in_and_fan_out(&[16, 3, 5, 5])?, (75, 400));
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// When there are fewer than two dims.
pub fn calculate_fan_in_and_fan_out(shape: &[usize]) -> Result<(usize, usize)> {
    fans("calculate_fan_in_and_fan_out", shape)
}

fn fans(op: &'static str, shape: &[usize]) -> Result<(usize, usize)> {
    let &[fan_out, fan_in, ref field @ ..] = shape else {
        let detail = format!("fan in and fan out need at least two dims; the shape is {shape:?}");
        return Err(Error::shape(op, detail));
    };
    let field: usize = field.iter().product();
    Ok((fan_in * field, fan_out * field))
}
