//! What the user writes: the steps of a training.

use super::{HParams, Log, Optimizers, TensorBatch};
use crate::nn::Module;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// A module that says how it is trained, as Lightning's `LightningModule`.
pub trait LightningModule: Module {
    /// The loss of a batch, a scalar. The trainer runs backward and the optimiser.
    ///
    /// # Errors
    /// Whatever keeps the step from being done; the training ends with it.
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor>;

    /// The optimiser, with a schedule perhaps.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    fn configure_optimizers(&self) -> Result<Optimizers>;

    /// Looks at a batch that is not trained on; what it logs is averaged over all of them. Runs in evaluation mode and
    /// without recording for gradients.
    ///
    /// # Errors
    /// Whatever keeps the step from being done; the training ends with it.
    fn validation_step(&self, _batch: &TensorBatch, _log: &mut Log) -> Result<()> {
        Ok(())
    }

    /// As [`LightningModule::validation_step`], for [`Trainer::test`](super::Trainer::test); the same unless said
    /// otherwise.
    ///
    /// # Errors
    /// Whatever keeps the step from being done.
    fn test_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        self.validation_step(batch, log)
    }

    /// What [`Trainer::predict`](super::Trainer::predict) gathers of a batch.
    ///
    /// # Errors
    /// Unless it is written, that it is not.
    fn predict_step(&self, _batch: &TensorBatch) -> Result<Tensor> {
        Err(Error::argument("predict", "the module has no predict_step"))
    }

    /// What it is trained with, for the loggers that show it.
    fn hparams(&self) -> HParams {
        HParams::new()
    }
}
