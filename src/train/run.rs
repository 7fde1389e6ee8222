//! The loop itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::Value as Json;

use super::checkpoint::{Checkpoint, Position};
use super::gather::{Means, Reads};
use super::logger::or_lost;
use super::progress::Progress;
use super::{Clip, Interval, LightningModule, Log, Moment, Optimizers, Status, TensorBatch, Trainer};
use crate::autograd::no_grad;
use crate::data::DataLoader;
use crate::nn::utils::{clip_grad_norm_, clip_grad_value_};
use crate::{Device, Error, Result};

/// Batches that are not trained on.
pub(super) struct Evaluation<'a, M: ?Sized> {
    pub module: &'a M,
    pub device: &'a Device,
    pub limit: usize,
}

impl<M: LightningModule> Evaluation<'_, M> {
    /// The means of what the steps log.
    pub fn run(
        &self,
        loader: &DataLoader,
        step: &dyn Fn(&TensorBatch, &mut Log) -> Result<()>,
    ) -> Result<BTreeMap<String, f64>> {
        self.module.eval();
        let mut means = Means::default();
        let all = (|| {
            for batch in loader.epoch(0).take(self.limit) {
                let batch = TensorBatch::upload(&batch?, self.device)?;
                let mut log = Log::of_evaluation();
                no_grad(|| step(&batch, &mut log))?;
                means.add(&log.entries, batch.len())?;
            }
            Ok(means.finish()?.into_iter().map(|(name, finished)| (name, finished.value)).collect())
        })();
        self.module.train();
        all
    }
}

/// A training in progress.
pub(super) struct Fit<'a, M> {
    trainer: &'a mut Trainer,
    module: &'a M,
    device: Device,
    train: DataLoader,
    val: Option<DataLoader>,
    optimizers: Optimizers,
    at: Position,
    means: Means,
    reads: Reads,
    progress: Progress,
    should_stop: bool,
}

impl<'a, M: LightningModule> Fit<'a, M> {
    pub fn new(
        trainer: &'a mut Trainer,
        module: &'a M,
        device: Device,
        train: DataLoader,
        val: Option<DataLoader>,
    ) -> Result<Self> {
        let optimizers = device.scope(|| module.configure_optimizers())?;
        let progress = Progress::new(trainer.progress);
        let (at, means, reads) = (Position::default(), Means::default(), Reads::default());
        trainer.interrupted.store(false, Ordering::Relaxed);
        Ok(Fit { trainer, module, device, train, val, optimizers, at, means, reads, progress, should_stop: false })
    }

    /// Everything, from the checkpoint on if there is one. What was logged reaches the loggers also after an error.
    pub fn run(mut self, resume: Option<Checkpoint>) -> Result<()> {
        if let Some(checkpoint) = resume {
            self.restore(&checkpoint)?;
            let step = self.at.global_step;
            self.trainer.loggers.iter_mut().try_for_each(|logger| logger.resume(step))?;
        }
        let hparams = self.module.hparams();
        if !hparams.is_empty() {
            self.trainer.loggers.iter_mut().try_for_each(|logger| logger.log_hparams(&hparams))?;
        }
        let result = self.epochs();
        let finished = self.trainer.loggers.iter_mut().try_for_each(|logger| logger.finish(result.is_ok()));
        self.progress.finish();
        result.and(finished)
    }

    fn epochs(&mut self) -> Result<()> {
        let epochs = self.trainer.max_epochs.unwrap_or(if self.trainer.max_steps.is_some() { u64::MAX } else { 1000 });
        let batches = self.trainer.limit_train.of(self.train.len());
        if batches == 0 {
            return Err(Error::argument(
                "Trainer",
                "there is no training batch (see limit_train_batches and drop_last)",
            ));
        }
        self.module.train();
        self.call(Moment::FitStart)?;
        while self.at.epoch < epochs && !self.is_over() {
            let complete = self.epoch(batches)?;
            if !complete {
                break;
            }
        }
        self.collect(true)?;
        self.call(Moment::FitEnd)
    }

    /// Whether steps, a callback or an interruption say that it is enough.
    fn is_over(&self) -> bool {
        let enough = self.trainer.max_steps.is_some_and(|max| self.at.global_step >= max);
        enough || self.should_stop || self.trainer.interrupted.load(Ordering::Relaxed)
    }

    /// One epoch, or what is left of it; false when it was broken off.
    fn epoch(&mut self, batches: usize) -> Result<bool> {
        if self.at.batch == 0 {
            self.call(Moment::EpochStart)?;
        }
        self.progress.start(self.at.epoch, self.trainer.max_epochs, batches, self.at.batch);
        let loader = self.train.epoch_from(self.at.epoch, self.at.batch).take(batches.saturating_sub(self.at.batch));
        for batch in loader {
            let batch = TensorBatch::upload(&batch?, &self.device)?;
            let last = self.at.batch + 1 == batches;
            self.step(&batch, last)?;
            if !last && self.is_over() {
                return Ok(false);
            }
        }
        let finished = self.means.finish()?;
        self.collect(true)?;
        let mut means: BTreeMap<String, f64> = finished.iter().map(|(name, f)| (name.clone(), f.value)).collect();
        let validates = (self.at.epoch + 1).is_multiple_of(self.trainer.check_val_every);
        if validates {
            means.extend(self.validate()?);
        }
        let suffix = |on_step| if on_step { "_epoch" } else { "" };
        let epoch_means = finished.into_iter().map(|(name, f)| (format!("{name}{}", suffix(f.on_step)), f.value));
        self.write(epoch_means.collect())?;
        (self.at.epoch, self.at.batch) = (self.at.epoch + 1, 0);
        self.trainer.epoch = self.at.epoch;
        self.progress.epoch(&means);
        self.optimizers.step_schedule(Interval::Epoch, &self.trainer.metrics)?;
        self.call(Moment::EpochEnd)?;
        Ok(true)
    }

    /// One batch, and an update when enough gradients have come together.
    fn step(&mut self, batch: &TensorBatch, last: bool) -> Result<()> {
        let mut log = Log::of_training();
        let loss = self.module.training_step(batch, &mut log)?;
        let share = 1.0 / self.trainer.accumulate as f64;
        let scaled = if self.trainer.accumulate == 1 { loss } else { loss.try_mul_scalar(share)? };
        scaled.backward()?;
        self.means.add(&log.entries, batch.len())?;
        self.at.batch += 1;
        if self.at.batch.is_multiple_of(self.trainer.accumulate) || last {
            self.update(&log)?;
        }
        self.progress.step(&self.trainer.metrics);
        match self.trainer.val_check_interval {
            Some(n) if self.at.batch.is_multiple_of(n) && !last => self.validate().map(|_| ()),
            _ => Ok(()),
        }
    }

    fn update(&mut self, log: &Log) -> Result<()> {
        match self.trainer.clip {
            Some(Clip::Norm(max)) => {
                clip_grad_norm_(self.module.parameters(), max)?;
            }
            Some(Clip::Value(max)) => clip_grad_value_(self.module.parameters(), max)?,
            None => {}
        }
        self.optimizers.optimizer.step()?;
        self.optimizers.optimizer.zero_grad();
        self.at.global_step += 1;
        self.trainer.global_step = self.at.global_step;
        if self.at.global_step.is_multiple_of(self.trainer.log_every) || self.at.global_step == 1 {
            let here = self.reads.begin(self.at.global_step, &log.entries)?;
            self.write(here)?;
        }
        self.collect(false)?;
        self.optimizers.step_schedule(Interval::Step, &self.trainer.metrics)?;
        self.call(Moment::StepEnd)
    }

    /// Runs the validation, if there is one; its means are metrics from then on.
    fn validate(&mut self) -> Result<BTreeMap<String, f64>> {
        let Some(loader) = &self.val else { return Ok(BTreeMap::new()) };
        let limit = self.trainer.limit_val.of(loader.len());
        let evaluation = Evaluation { module: self.module, device: &self.device, limit };
        let means = evaluation.run(loader, &|batch, log| self.module.validation_step(batch, log))?;
        self.write(means.iter().map(|(name, mean)| (name.clone(), *mean)).collect())?;
        self.call(Moment::ValidationEnd)?;
        Ok(means)
    }

    /// Hands on what has arrived from the device, or all of it.
    fn collect(&mut self, wait: bool) -> Result<()> {
        let arrived = if wait { self.reads.finish()? } else { self.reads.poll()? };
        for (step, name, value) in arrived {
            self.trainer.metrics.insert(name.clone(), value);
            for logger in &mut self.trainer.loggers {
                or_lost(logger.log(self.at.epoch, step, &[(name.clone(), value)]))?;
            }
        }
        Ok(())
    }

    /// Makes metrics of values that are here, and hands them to the loggers.
    fn write(&mut self, values: Vec<(String, f64)>) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        for logger in &mut self.trainer.loggers {
            or_lost(logger.log(self.at.epoch, self.at.global_step, &values))?;
        }
        self.trainer.metrics.extend(values);
        Ok(())
    }

    fn call(&mut self, moment: Moment) -> Result<()> {
        if self.trainer.callbacks.is_empty() {
            return Ok(());
        }
        let mut callbacks = std::mem::take(&mut self.trainer.callbacks);
        let mut to_log = Vec::new();
        let mut should_stop = self.should_stop;
        let outcome = (0..callbacks.len()).try_for_each(|i| {
            let (before, rest) = callbacks.split_at_mut(i);
            let (callback, after) = rest.split_first_mut().expect("i is below the length");
            // The state of the callback that saves is the one that it has then, which it gives along.
            let save = |path: &Path, name: String, own: Json| {
                let others = before.iter().chain(after.iter()).map(|c| (c.name(), c.state()));
                self.checkpoint(others.chain([(name, own)]).collect())?.save(path)
            };
            let mut status = Status {
                epoch: self.at.epoch,
                global_step: self.at.global_step,
                metrics: &self.trainer.metrics,
                learning_rates: self.optimizers.learning_rates(),
                module: self.module,
                should_stop: &mut should_stop,
                to_log: &mut to_log,
                save: &save,
            };
            callback.on(moment, &mut status)
        });
        self.trainer.callbacks = callbacks;
        self.should_stop = should_stop;
        outcome?;
        self.write(to_log)
    }

    /// Everything that is needed to go on from here.
    fn checkpoint(&self, callbacks: BTreeMap<String, Json>) -> Result<Checkpoint> {
        Ok(Checkpoint {
            module: self.module.state_dict(),
            optimizer: self.optimizers.optimizer.state_dict()?,
            schedule: self.optimizers.schedule_state(),
            position: self.at,
            random: self.device.random_state(),
            means: self.means.save()?,
            metric_states: self.means.save_metrics()?,
            metrics: self.trainer.metrics.clone(),
            callbacks,
        })
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.module.load_state_dict(&checkpoint.module)?;
        self.optimizers.optimizer.load_state_dict(&checkpoint.optimizer)?;
        self.optimizers.load_schedule_state(&checkpoint.schedule)?;
        for callback in &mut self.trainer.callbacks {
            if let Some(state) = checkpoint.callbacks.get(&callback.name()) {
                callback.load_state(state)?;
            }
        }
        self.means.load(checkpoint.means.clone(), &self.device)?;
        self.means.load_metrics(&checkpoint.metric_states);
        self.at = checkpoint.position;
        self.trainer.metrics = checkpoint.metrics.clone();
        (self.trainer.global_step, self.trainer.epoch) = (self.at.global_step, self.at.epoch);
        self.device.set_random_state(checkpoint.random);
        Ok(())
    }
}
