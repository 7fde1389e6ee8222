//! PyTorch's way of working in Rust, on any GPU.
//!
//! Every tensor operation is a hand-written WGSL compute shader with a scalar twin in plain Rust; the whole stack runs
//! on either. A first example:
//!
//! ```
//! use lumigrad::prelude::*;
//!
//! let x = Tensor::scalar(2.0).requires_grad();
//! let y = x.powi(2) + 2.0 * &x + 1.0;
//! y.backward()?;
//! assert_eq!(x.grad().unwrap().item::<f32>()?, 6.0);
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! The modules in the order of one call: [`tensor`](Tensor) → [`ops`] → [`engine`] → shaders. [`autograd`] hangs off
//! `ops`; [`nn`], [`optim`], [`data`], [`metrics`], [`train`] and [`io`] are built on tensors.

// `#[derive(Module)]` names this crate by its name, here too.
extern crate self as lumigrad;

pub mod amp;
pub mod autograd;
mod capture;
pub mod data;
pub mod doctor;
mod dtype;
pub mod engine;
mod error;
pub mod io;
pub mod metrics;
pub mod nn;
pub mod ops;
pub mod optim;
#[cfg(feature = "plot")]
pub mod plot;
mod profiler;
pub mod random;
mod scoped;
mod tensor;
#[cfg(feature = "tensorboard")]
pub mod tensorboard;
pub mod train;

pub use amp::autocast;
pub use autograd::{enable_grad, no_grad};
pub use capture::{Capture, StepOutput};
pub use dtype::{DType, Element};
pub use engine::Device;
pub use error::{Error, Result};
pub use ops::attention::AttentionOptions;
pub use ops::convolution::options::{
    Conv1dOptions, Conv2dOptions, ConvOptions, ConvTranspose1dOptions, ConvTranspose2dOptions, ConvTransposeOptions,
    Padding, PerDim,
};
pub use ops::cross_entropy::{CrossEntropyOptions, Reduction};
pub use ops::elementwise::div_trunc::RoundingMode;
pub use ops::interpolate::{InterpolateMode, InterpolateOptions, PerSpatialDim};
pub use ops::losses::binary_cross_entropy::BinaryCrossEntropyOptions;
pub use ops::losses::binary_cross_entropy_with_logits::BinaryCrossEntropyWithLogitsOptions;
pub use ops::losses::huber_loss::HuberLossOptions;
pub use ops::losses::kl_div::{KlDivOptions, KlDivReduction};
pub use ops::losses::likelihoods::{GaussianNllLossOptions, PoissonNllLossOptions};
pub use ops::losses::margins::TripletMarginLossOptions;
pub use ops::losses::smooth_l1_loss::SmoothL1LossOptions;
pub use ops::nll_loss::NllLossOptions;
pub use ops::norm::batch_norm::BatchNormOptions;
pub use ops::norm::instance_norm::InstanceNormOptions;
pub use ops::pad::PadMode;
pub use ops::pooling::OutputSize;
pub use ops::pooling::avg_pool::AvgPoolOptions;
pub use ops::pooling::max_pool::MaxPoolOptions;
pub use ops::pooling::max_unpool::MaxUnpoolOptions;
pub use ops::recurrent::layers::RecurrentOptions;
pub use ops::truth::CloseOptions;
pub use profiler::{KernelTime, MemoryReport, MemoryRow, OperationTime, Profile, profile};
pub use tensor::{Ellipsis, Index, IntoIndex, IntoShape, NewAxis, Shape, Slice, Tensor, Value};

/// Seeds the random numbers of the current device, as `torch.manual_seed` does: [`Device::manual_seed`].
///
/// ```
/// use lumigrad::prelude::*;
/// lumigrad::manual_seed(7);
/// let x = Tensor::rand(&[3]);
/// lumigrad::manual_seed(7);
/// assert!(x.equal(&Tensor::rand(&[3]))?);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn manual_seed(seed: u64) {
    Device::current().manual_seed(seed);
}

/// What most programs use.
pub mod prelude {
    pub use crate::nn::{Forward, Hooks, Module, Parameter};
    pub use crate::optim::Optimizer;
    pub use crate::optim::lr_scheduler::{LRScheduler, Schedule};
    pub use crate::{DType, Device, Ellipsis, Error, NewAxis, Result, Slice, Tensor, no_grad};
}
