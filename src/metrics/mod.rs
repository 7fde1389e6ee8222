//! Metrics with torchmetrics' names, defaults and definitions, which stream over batches.
//!
//! ```
//! use lumigrad::metrics::{Accuracy, Average, ConfusionMatrix, F1Score, Metric};
//! use lumigrad::prelude::*;
//!
//! let (accuracy, f1, confusion) = (Accuracy::new(3), F1Score::new(3).average(Average::Macro), ConfusionMatrix::new(3));
//! let batches = [
//!     (Tensor::from_slice(&[2.0f32, 0.1, 0.3, 0.0, 1.0, 3.0], &[2, 3]), Tensor::from_slice(&[0, 1], &[2])),
//!     (Tensor::from_slice(&[0.0f32, 0.5, 0.2], &[1, 3]), Tensor::from_slice(&[1], &[1])),
//! ];
//! for (logits, labels) in &batches {
//!     accuracy.update(logits, labels)?;
//!     f1.update(logits, labels)?;
//!     confusion.update(logits, labels)?;
//! }
//! assert_eq!(accuracy.compute()?, 2.0 / 3.0);
//! assert_eq!(f1.per_class()?, [1.0, 2.0 / 3.0, 0.0]);
//! assert_eq!(confusion.compute()?.rows(), [[1, 0, 0], [0, 1, 1], [0, 0, 0]]);
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! [`Metric::update`] adds to counts and sums on the device and waits for nothing; [`Metric::compute`] reads them. Counts
//! are whole numbers, exact however many samples there are. A metric is a handle: a clone is the same metric, so a
//! module can hold one that the program reads. What an update adds up in changes with each one, so update outside of the
//! closure of a [`Capture`](crate::Capture), with what that returns.
//!
//! # In a training
//!
//! A metric is a module without parameters, so it stands among the layers of a
//! [`LightningModule`](crate::train::LightningModule). Logged itself, and not its value, it is computed over the whole
//! epoch and reset, as in Lightning; F1 or AUROC is no mean over batches:
//!
//! ```
//! use lumigrad::data::{DataLoader, synthetic};
//! use lumigrad::metrics::{Auroc, Metric};
//! use lumigrad::train::{LightningModule, Log, Optimizers, TensorBatch, Trainer};
//! use lumigrad::{nn, optim::Adam, prelude::*};
//!
//! #[derive(Module)]
//! struct LitModel {
//!     model: nn::Linear,
//!     val_auroc: Auroc,
//! }
//!
//! impl LightningModule for LitModel {
//!     fn training_step(&self, batch: &TensorBatch, _: &mut Log) -> Result<Tensor> {
//!         Ok(self.model.call(&batch["x"]).cross_entropy(&batch["y"]))
//!     }
//!     fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
//!         self.val_auroc.update(&self.model.call(&batch["x"]), &batch["y"])?;
//!         log.log("val_auroc", &self.val_auroc);
//!         Ok(())
//!     }
//!     fn configure_optimizers(&self) -> Result<Optimizers> {
//!         Ok(Adam::new(self.parameters(), 0.1).into())
//!     }
//! }
//!
//! let moons = |seed| DataLoader::new(synthetic::moons(64, 0.1, seed)).batch_size(16);
//! let lit = LitModel { model: nn::Linear::new(2, 2), val_auroc: Auroc::new(2) };
//! let mut trainer = Trainer::new().max_epochs(3).progress(false);
//! trainer.fit(&lit, &(moons(0), moons(1)))?;
//! assert!(trainer.metrics()["val_auroc"] > 0.8);
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! # torchmetrics' names
//!
//! | torchmetrics | here |
//! |---|---|
//! | `Accuracy(task="multiclass", num_classes=10)` | [`Accuracy::new(10)`](Accuracy::new); with `task="binary"` [`Accuracy::binary`], so with all of them |
//! | `top_k=5`, `average="macro"`, `ignore_index=-1`, `threshold=0.3` | `.top_k(5)` (of [`Accuracy`]), `.average(Average::Macro)`, `.ignore_index(-1)`, `.threshold(0.3)` |
//! | `average="none"` | `.per_class()` |
//! | `Precision`, `Recall`, `F1Score` | [`Precision`], [`Recall`], [`F1Score`], with `.zero_division(1.0)` |
//! | `ConfusionMatrix(normalize="true")` | [`ConfusionMatrix`], and [`Confusion::normalized`] |
//! | `AUROC` | [`Auroc`]: exact, `thresholds=None` |
//! | `Perplexity`, `MeanSquaredError`, `MeanAbsoluteError` | [`Perplexity`], [`MeanSquaredError`], [`MeanAbsoluteError`] |
//! | Lightning's `Throughput` | [`Throughput`], and [`ThroughputMonitor`](crate::train::ThroughputMonitor) |

mod auroc;
mod classes;
mod confusion;
mod perplexity;
mod regression;
mod scores;
mod state;
mod throughput;

pub use auroc::Auroc;
pub use classes::Average;
pub use confusion::{Confusion, ConfusionMatrix, Normalize};
pub use perplexity::Perplexity;
pub use regression::{MeanAbsoluteError, MeanSquaredError};
pub use scores::{Accuracy, F1Score, Precision, Recall};
pub use throughput::Throughput;

use crate::tensor::Tensor;
use crate::{Error, Result};

/// A number, or several, that predictions and targets come to over many batches.
///
/// One whose value is a single number can be logged itself: [`Log::log`](crate::train::Log::log).
pub trait Metric: std::fmt::Debug + Send + Sync {
    /// What it comes to.
    type Value;

    /// Takes a batch in. Nothing waits for the device.
    ///
    /// # Errors
    /// When predictions and targets do not fit each other or the metric, or the device fails. A label out of its range is
    /// found by the device, and told by what is next read from it.
    fn update(&self, preds: &Tensor, target: &Tensor) -> Result<()>;

    /// The value of everything since the last [`Metric::reset`]. Reads from the device, so it waits for it.
    ///
    /// # Errors
    /// When there was no [`Metric::update`] yet, a label was out of its range, or the device failed.
    fn compute(&self) -> Result<Self::Value>;

    /// Forgets everything.
    fn reset(&self);

    /// What it holds, for a checkpoint. May be empty for a metric that is not to go on from one.
    ///
    /// # Errors
    /// When the device failed.
    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    /// Puts what another one held before what this one holds.
    ///
    /// # Errors
    /// When it is not the state of such a metric.
    fn prepend_state(&self, _state: &[Tensor]) -> Result<()> {
        Ok(())
    }
}

/// Declares a handle on a metric's state: a module without parameters, and where a metric can be logged.
macro_rules! module {
    ($($metric:ty),*) => {$(
        impl $crate::nn::Module for $metric {
            fn visit(&self, _visitor: &mut $crate::nn::Visitor<'_>) {}
        }
    )*};
}
use module;

/// Locks a metric's state; what a panicking thread left is whole, since states change in one step.
fn lock<T>(state: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn not_updated(op: &'static str) -> Error {
    Error::argument(op, "compute before any update: there is nothing to compute from")
}

fn not_a_state(op: &'static str) -> Error {
    Error::argument(op, "the saved state is not this metric's")
}
