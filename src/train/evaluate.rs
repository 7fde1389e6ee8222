//! Batches that are not trained on.

use std::collections::BTreeMap;

use super::checkpoint::Position;
use super::gather::Means;
use super::progress::Progress;
use super::{FloatPrecision, LightningModule, Log, TensorBatch};
use crate::autograd::no_grad;
use crate::data::DataLoader;
use crate::nn::EvaluationMode;
use crate::{Device, Result};

/// A pass over a loader in evaluation mode.
pub(super) struct Evaluation<'a, M> {
    pub module: &'a M,
    pub device: &'a Device,
    pub limit: usize,
    /// Where the training is.
    pub at: Position,
    pub precision: FloatPrecision,
    pub title: &'a str,
}

impl<M: LightningModule> Evaluation<'_, M> {
    /// Calls `step` with each batch and its number; the bar stays, as the device is still at work. What was in training mode is so afterwards, also after an error.
    pub fn each(
        &self,
        loader: &DataLoader,
        progress: &mut Progress,
        step: &mut dyn FnMut(&TensorBatch, usize) -> Result<()>,
    ) -> Result<()> {
        let _restore = EvaluationMode::of(self.module);
        progress.start_evaluation(self.title, self.limit);
        let all = loader.epoch(0).take(self.limit).enumerate().try_for_each(|(i, batch)| {
            let batch = TensorBatch::upload(&batch?, self.device)?;
            no_grad(|| self.precision.run(|| step(&batch, i)))?;
            progress.step_evaluation();
            Ok(())
        });
        if all.is_err() {
            progress.end_evaluation();
        }
        all
    }

    /// The means of what the steps log, and what `end` logs.
    pub fn run(
        &self,
        loader: &DataLoader,
        start: &dyn Fn() -> Result<()>,
        step: &dyn Fn(&TensorBatch, &mut Log) -> Result<()>,
        end: &dyn Fn(&mut Log) -> Result<()>,
        progress: &mut Progress,
    ) -> Result<BTreeMap<String, f64>> {
        let _restore = EvaluationMode::of(self.module);
        no_grad(start)?;
        let mut means = Means::default();
        self.each(loader, progress, &mut |batch, i| {
            let mut log = Log::of_epoch(self.at, i);
            step(batch, &mut log)?;
            means.add(&log.entries, batch.len())
        })?;
        let mut log = Log::of_epoch(self.at, self.limit);
        let ended = no_grad(|| end(&mut log)).and_then(|()| means.add(&log.entries, 1));
        let finished = ended.and_then(|()| means.finish());
        progress.end_evaluation();
        Ok(finished?.into_iter().map(|(name, finished)| (name, finished.value)).collect())
    }

    /// The module's validation.
    pub fn validate(&self, loader: &DataLoader, progress: &mut Progress) -> Result<BTreeMap<String, f64>> {
        let start = || self.module.on_validation_epoch_start();
        let step = |batch: &TensorBatch, log: &mut Log| self.module.validation_step(batch, log);
        self.run(loader, &start, &step, &|log| self.module.on_validation_epoch_end(log), progress)
    }
}
