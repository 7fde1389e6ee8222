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

    /// Before the first step.
    ///
    /// # Errors
    /// Ends the training, as an error of any of these methods.
    fn on_fit_start(&self) -> Result<()> {
        Ok(())
    }

    /// After the last step.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_fit_end(&self) -> Result<()> {
        Ok(())
    }

    /// Before the first step of an epoch, which counts from 0: the place to freeze layers or to draw data anew.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_train_epoch_start(&self, _epoch: u64) -> Result<()> {
        Ok(())
    }

    /// After the last step of an epoch, before the validation; what it logs belongs to the epoch.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_train_epoch_end(&self, _log: &mut Log) -> Result<()> {
        Ok(())
    }

    /// With all gradients there, after they were clipped and before the update: the place to log their norms.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_before_optimizer_step(&self, _log: &mut Log) -> Result<()> {
        Ok(())
    }

    /// Before the first batch of a validation, in evaluation mode and without recording for gradients as all of it.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_validation_epoch_start(&self) -> Result<()> {
        Ok(())
    }

    /// After the last batch of a validation; what it logs stands beside the means of the steps.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_validation_epoch_end(&self, _log: &mut Log) -> Result<()> {
        Ok(())
    }

    /// As [`LightningModule::on_validation_epoch_start`], for a test; the same unless said otherwise.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_test_epoch_start(&self) -> Result<()> {
        self.on_validation_epoch_start()
    }

    /// As [`LightningModule::on_validation_epoch_end`], for a test; the same unless said otherwise.
    ///
    /// # Errors
    /// As [`LightningModule::on_fit_start`].
    fn on_test_epoch_end(&self, log: &mut Log) -> Result<()> {
        self.on_validation_epoch_end(log)
    }
}
