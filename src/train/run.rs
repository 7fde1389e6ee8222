//! The loop itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::Value as Json;

use super::callback::News;
use super::captured::CapturedStep;
use super::checkpoint::{Checkpoint, Position};
use super::evaluate::Evaluation;
use super::gather::{Means, Reads, Values};
use super::logger::{LOST, log_all, unless_lost};
use super::progress::Progress;
use super::{Clip, Interval, LightningModule, Limit, Log, Logger, Moment, Optimizers, Status, TensorBatch, Trainer};
use crate::amp::GradScaler;
use crate::autograd::detect_anomaly;
use crate::data::DataLoader;
use crate::nn::utils::{clip_grad_norm_, clip_grad_value_};
use crate::{Device, Error, Result};

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
    /// What is shown beside the bar.
    shown: BTreeSet<String>,
    /// Metrics that come from validations, and epoch and batch of the last one.
    validated: BTreeSet<String>,
    validated_at: (u64, usize),
    /// Whether the last batch of the epoch is followed by a validation, and whether there was any so far.
    validates_at_end: bool,
    has_validated: bool,
    /// What the last update was made with.
    learning_rates: Vec<f64>,
    captured: Option<CapturedStep>,
    scaler: Option<GradScaler>,
    is_logged_step: bool,
    should_stop: bool,
    started: Instant,
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
        let learning_rates = optimizers.learning_rates();
        trainer.last_checkpoint = None;
        if trainer.captures && trainer.accumulate > 1 {
            return Err(Error::argument("Trainer", "`capture` does not go with `accumulate_grad_batches`"));
        }
        let captured = (trainer.captures && !trainer.detects_anomalies).then(|| CapturedStep::new(&device));
        Ok(Fit {
            progress: Progress::new(trainer.progress),
            scaler: trainer.precision.scaler(),
            trainer,
            module,
            device,
            train,
            val,
            optimizers,
            at: Position::default(),
            means: Means::default(),
            reads: Reads::default(),
            shown: BTreeSet::new(),
            validated: BTreeSet::new(),
            validated_at: (0, 0),
            validates_at_end: false,
            has_validated: false,
            learning_rates,
            captured,
            is_logged_step: false,
            should_stop: false,
            started: Instant::now(),
        })
    }

    /// Everything, from the checkpoint on if there is one. What was logged reaches the loggers also after an error.
    pub fn run(mut self, resume: Option<Checkpoint>) -> Result<()> {
        let quick = self.trainer.is_fast_dev_run;
        // In a quick run they are as if they were not there.
        let (away, loggers): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.trainer.loggers).into_iter().partition(|_| quick);
        self.trainer.loggers = loggers;
        let result = match resume {
            Some(checkpoint) => self.restore(&checkpoint),
            None => self.check_sanity(),
        };
        let result = result.and_then(|()| self.log_hparams()).and_then(|()| self.epochs());
        let finished = self.trainer.loggers.iter_mut().try_for_each(|logger| logger.finish(result.is_ok()));
        self.trainer.loggers.extend(away);
        result.and(finished)
    }

    fn log_hparams(&mut self) -> Result<()> {
        let hparams = self.module.hparams();
        if hparams.is_empty() {
            return Ok(());
        }
        self.trainer.loggers.iter_mut().try_for_each(|logger| unless_lost(logger.log_hparams(&hparams), LOST))
    }

    /// A few batches of validation, of which nothing is left.
    fn check_sanity(&mut self) -> Result<()> {
        let limit = self.trainer.sanity_batches;
        let Some(loader) = self.val.as_ref().filter(|_| limit > 0 && !self.trainer.is_fast_dev_run) else {
            return Ok(());
        };
        let limit = limit.min(self.trainer.limit_val.of(loader.len()));
        let random = self.device.random_state();
        let (module, device) = (self.module, &self.device);
        let precision = self.trainer.precision;
        let evaluation = Evaluation { module, device, limit, at: self.at, precision, title: "sanity check" };
        evaluation.validate(loader, &mut self.progress)?;
        self.device.set_random_state(random);
        Ok(())
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
        self.module.on_fit_start()?;
        self.call(Moment::FitStart)?;
        while self.at.epoch < epochs && !self.is_over() {
            let complete = self.epoch(batches)?;
            if !complete {
                break;
            }
        }
        self.collect(true)?;
        self.module.on_fit_end()?;
        self.call(Moment::FitEnd)?;
        if self.is_interrupted() { self.say_how_to_go_on() } else { Ok(()) }
    }

    fn is_interrupted(&self) -> bool {
        self.trainer.interrupted.load(Ordering::Relaxed)
    }

    /// Whether steps, time, a callback or an interruption say that it is enough.
    fn is_over(&self) -> bool {
        let enough = self.trainer.max_steps.is_some_and(|max| self.at.global_step >= max);
        let late = self.trainer.max_time.is_some_and(|max| self.started.elapsed() >= max);
        let stopped = self.should_stop && self.at.epoch >= self.trainer.min_epochs;
        enough || late || stopped || self.is_interrupted()
    }

    /// After an interruption there is a checkpoint, whether or not a callback writes some.
    fn say_how_to_go_on(&mut self) -> Result<()> {
        if self.trainer.last_checkpoint.is_none() {
            let path = self.trainer.root.join("interrupted.ckpt");
            let callbacks = self.trainer.callbacks.iter().map(|c| (c.name(), c.state())).collect();
            self.checkpoint(callbacks, self.trainer.metrics.clone(), &self.trainer.loggers)?.save(&path)?;
            self.trainer.last_checkpoint = Some(path);
        }
        if let Some(path) = &self.trainer.last_checkpoint {
            let (step, epoch) = (self.at.global_step, self.at.epoch + 1);
            let line = format!("interrupted after step {step}, in epoch {epoch}: Trainer::resume({path:?}) goes on");
            self.progress.say(&line);
        }
        Ok(())
    }

    /// One epoch, or what is left of it; false when it was broken off.
    fn epoch(&mut self, batches: usize) -> Result<bool> {
        if self.at.batch == 0 {
            self.module.on_train_epoch_start(self.at.epoch)?;
            self.call(Moment::EpochStart)?;
        }
        self.progress.start(self.at.epoch, self.trainer.max_epochs, batches, self.at.batch);
        let every = match self.trainer.val_check_interval {
            Limit::Batches(n) => n,
            share => share.of(batches).max(1),
        };
        if every == 0 || every > batches {
            let detail = format!("val_check_interval: {every} given, an epoch has {batches} batches");
            return Err(Error::argument("Trainer", detail));
        }
        let checked = (self.at.epoch + 1).is_multiple_of(self.trainer.check_val_every) && self.val.is_some();
        let validates_after = |batch: usize| checked && batch.is_multiple_of(every);
        let loader = self.train.epoch_from(self.at.epoch, self.at.batch).take(batches.saturating_sub(self.at.batch));
        self.validates_at_end = false;
        // A checkpoint of a step whose validation was still to come.
        let (at, here) = (self.at.batch, (self.at.epoch, self.at.batch));
        if (1..batches).contains(&at) && validates_after(at) && self.validated_at != here {
            self.validate()?;
        }
        for batch in loader {
            let batch = TensorBatch::upload(&batch?, &self.device)?;
            let last = self.at.batch + 1 == batches;
            self.step(&batch, last)?;
            if !last && validates_after(self.at.batch) {
                self.validate()?;
            }
            if !last && self.is_over() {
                return Ok(false);
            }
        }
        self.end_epoch(validates_after(batches))?;
        Ok(true)
    }

    fn end_epoch(&mut self, validates: bool) -> Result<()> {
        let mut log = Log::of_epoch(self.at, self.at.batch);
        self.module.on_train_epoch_end(&mut log)?;
        self.means.add(&log.entries, 1)?;
        let finished = self.means.finish()?;
        self.collect(true)?;
        let mut means: BTreeMap<String, f64> = finished.iter().map(|(name, f)| (name.clone(), f.value)).collect();
        self.validates_at_end = validates;
        if validates {
            means.extend(self.validate()?);
        }
        let suffix = |on_step| if on_step { "_epoch" } else { "" };
        let epoch_means = finished.into_iter().map(|(name, f)| (format!("{name}{}", suffix(f.on_step)), f.value));
        self.write(epoch_means.collect())?;
        let ended = self.at.epoch;
        (self.at.epoch, self.at.batch) = (ended + 1, 0);
        self.trainer.epoch = self.at.epoch;
        self.progress.epoch(&means);
        let (trainer, optimizers) = (&*self.trainer, &mut self.optimizers);
        let news = News {
            validated: &self.validated,
            at_epoch_end: validates,
            more_to_come: self.val.is_some() && !self.has_validated,
        };
        let fresh = |name: &str| news.of_epoch(&trainer.metrics, name, "reduce_on_plateau");
        optimizers.step_schedule(Interval::Epoch, &fresh)?;
        self.call_in(Moment::EpochEnd, ended)
    }

    /// One batch, and an update when enough gradients have come together.
    fn step(&mut self, batch: &TensorBatch, last: bool) -> Result<()> {
        let mut log = Log::of_training(self.at);
        let updates = (self.at.batch + 1).is_multiple_of(self.trainer.accumulate) || last;
        match self.captured.take() {
            Some(mut captured) => {
                let step = |batch: &TensorBatch, log: &mut Log| self.train_on(batch, log, true);
                let result = captured.run(batch, &mut log, step);
                self.captured = Some(captured);
                result?;
            }
            None => self.train_on(batch, &mut log, updates)?,
        }
        self.shown.extend(log.entries.iter().filter(|e| e.options.prog_bar).map(|e| e.name.clone()));
        self.means.add(&log.entries, batch.len())?;
        self.at.batch += 1;
        if updates {
            self.updated(&log)?;
        }
        self.progress.step(&self.trainer.metrics, self.shown.iter());
        Ok(())
    }

    /// What a step does on the device: gradients, and the update when enough of them have come together.
    fn train_on(&mut self, batch: &TensorBatch, log: &mut Log, updates: bool) -> Result<()> {
        let share = 1.0 / self.trainer.accumulate as f64;
        let (precision, module, scaler) = (self.trainer.precision, self.module, &mut self.scaler);
        let mut run = || {
            let loss = precision.run(|| module.training_step(batch, log))?;
            let loss = if share == 1.0 { loss } else { loss.try_mul_scalar(share)? };
            scaler.as_mut().map_or(loss.clone(), |scaler| scaler.scale(&loss)).backward()
        };
        if self.trainer.detects_anomalies {
            detect_anomaly(run)?
        } else {
            run()?
        }
        if updates {
            if let Some(scaler) = &mut self.scaler {
                scaler.unscale_(&self.optimizers.optimizer)?;
            }
            self.clip()?;
            self.module.on_before_optimizer_step(log)?;
            self.call(Moment::BeforeUpdate)?;
            let optimizer = &mut self.optimizers.optimizer;
            match &mut self.scaler {
                Some(scaler) => scaler.step(optimizer).and_then(|()| scaler.update())?,
                None => optimizer.step()?,
            }
            optimizer.zero_grad();
        }
        Ok(())
    }

    fn clip(&mut self) -> Result<()> {
        match self.trainer.clip {
            Some(Clip::Norm(max)) => clip_grad_norm_(self.module.parameters(), max).map(|_| ()),
            Some(Clip::Value(max)) => clip_grad_value_(self.module.parameters(), max),
            None => Ok(()),
        }
    }

    /// After an update.
    fn updated(&mut self, log: &Log) -> Result<()> {
        self.learning_rates = self.optimizers.learning_rates();
        self.at.global_step += 1;
        self.trainer.global_step = self.at.global_step;
        self.is_logged_step = self.at.global_step.is_multiple_of(self.trainer.log_every) || self.at.global_step == 1;
        if self.is_logged_step {
            let here = self.reads.begin(self.at.global_step, &log.entries)?;
            self.write(here)?;
        }
        self.collect(false)?;
        self.optimizers.step_schedule(Interval::Step, &|_| Ok(None))?;
        self.call(Moment::StepEnd)
    }

    /// Runs the validation; its means are metrics from then on.
    fn validate(&mut self) -> Result<BTreeMap<String, f64>> {
        self.call(Moment::ValidationStart)?;
        let Some(loader) = &self.val else { return Ok(BTreeMap::new()) };
        let limit = self.trainer.limit_val.of(loader.len());
        let (module, device) = (self.module, &self.device);
        let precision = self.trainer.precision;
        let evaluation = Evaluation { module, device, limit, at: self.at, precision, title: "validation" };
        let means = evaluation.validate(loader, &mut self.progress)?;
        self.has_validated = true;
        self.validated_at = (self.at.epoch, self.at.batch);
        self.validated.extend(means.keys().cloned());
        self.shown.extend(means.keys().cloned());
        self.write(means.iter().map(|(name, mean)| (name.clone(), *mean)).collect())?;
        self.call(Moment::ValidationEnd)?;
        Ok(means)
    }

    /// Hands on what has arrived from the device, or all of it.
    fn collect(&mut self, wait: bool) -> Result<()> {
        for (step, values) in if wait { self.reads.finish()? } else { self.reads.poll()? } {
            log_all(&mut self.trainer.loggers, self.at.epoch, step, &values)?;
            self.trainer.metrics.extend(values);
        }
        Ok(())
    }

    /// Makes metrics of values that are here, and hands them to the loggers.
    fn write(&mut self, values: Values) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        log_all(&mut self.trainer.loggers, self.at.epoch, self.at.global_step, &values)?;
        self.trainer.metrics.extend(values);
        Ok(())
    }

    fn call(&mut self, moment: Moment) -> Result<()> {
        self.call_in(moment, self.at.epoch)
    }

    fn call_in(&mut self, moment: Moment, epoch: u64) -> Result<()> {
        if self.trainer.callbacks.is_empty() {
            return Ok(());
        }
        let mut callbacks = std::mem::take(&mut self.trainer.callbacks);
        let mut to_log = Vec::new();
        let mut should_stop = self.should_stop;
        let pending = RefCell::new(Pending {
            reads: std::mem::take(&mut self.reads),
            loggers: std::mem::take(&mut self.trainer.loggers),
            arrived: BTreeMap::new(),
            logged: 0,
            saved: None,
        });
        let quick = self.trainer.is_fast_dev_run;
        let outcome = (0..callbacks.len()).try_for_each(|i| {
            let (before, rest) = callbacks.split_at_mut(i);
            let (callback, after) = rest.split_first_mut().expect("i is below the length");
            if quick && !callback.is_in_fast_dev_run() {
                return Ok(());
            }
            // The state of the callback that saves is the one that it has then, which it gives along.
            let save = |path: &Path, name: String, own: Json, to_log: &[(String, f64)]| {
                let others = before.iter().chain(after.iter()).map(|c| (c.name(), c.state()));
                let mut pending = pending.borrow_mut();
                pending.collect(self.at, to_log)?;
                let mut metrics = self.trainer.metrics.clone();
                metrics.extend(pending.arrived.clone());
                let callbacks = others.chain([(name, own)]).collect();
                self.checkpoint(callbacks, metrics, &pending.loggers)?.save(path)?;
                pending.saved = Some(path.to_path_buf());
                Ok(())
            };
            let mut status = Status {
                epoch,
                global_step: self.at.global_step,
                metrics: &self.trainer.metrics,
                learning_rates: &self.learning_rates,
                is_logged_step: self.is_logged_step,
                module: self.module,
                should_stop: &mut should_stop,
                to_log: &mut to_log,
                news: News {
                    validated: &self.validated,
                    at_epoch_end: self.validates_at_end,
                    more_to_come: self.val.is_some() && !self.has_validated,
                },
                save: &save,
                say: &|line| self.progress.say(line),
            };
            callback.on(moment, &mut status)
        });
        let Pending { reads, loggers, arrived, logged, saved } = pending.into_inner();
        (self.reads, self.trainer.loggers, self.trainer.callbacks) = (reads, loggers, callbacks);
        self.trainer.metrics.extend(arrived);
        self.trainer.last_checkpoint = saved.or(self.trainer.last_checkpoint.take());
        self.should_stop = should_stop;
        outcome?;
        self.write(to_log.split_off(logged))
    }

    /// Everything that is needed to go on from here, with the metrics and the loggers as they are.
    fn checkpoint(
        &self,
        callbacks: BTreeMap<String, Json>,
        metrics: BTreeMap<String, f64>,
        loggers: &[Box<dyn Logger>],
    ) -> Result<Checkpoint> {
        Ok(Checkpoint {
            module: self.module.state_dict(),
            optimizer: self.optimizers.optimizer.state_dict()?,
            scaler: self.scaler.as_ref().map(GradScaler::state_dict).transpose()?,
            schedule: self.optimizers.schedule_state(),
            position: self.at,
            random: self.device.random_state(),
            means: self.means.save()?,
            metric_states: self.means.save_metrics()?,
            metrics,
            validated: self.validated.clone(),
            validated_at: self.validated_at,
            callbacks,
            logged: loggers.iter().map(|logger| logger.position()).collect(),
        })
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.module.load_state_dict(&checkpoint.module)?;
        self.optimizers.optimizer.load_state_dict(&checkpoint.optimizer)?;
        self.optimizers.load_schedule_state(&checkpoint.schedule)?;
        match (&mut self.scaler, &checkpoint.scaler) {
            (Some(scaler), Some(state)) => scaler.load_state_dict(state)?,
            (None, None) => {}
            (Some(_), None) => {
                log::warn!("the checkpoint is of no training in f16: the scale of gradients begins anew")
            }
            (None, Some(_)) => log::warn!("the checkpoint is of a training in f16, this one is not: no scale is used"),
        }
        for callback in &mut self.trainer.callbacks {
            if let Some(state) = checkpoint.callbacks.get(&callback.name()) {
                callback.load_state(state)?;
            }
        }
        self.means.load(checkpoint.means.clone(), &self.device)?;
        self.means.load_metrics(&checkpoint.metric_states);
        self.at = checkpoint.position;
        self.trainer.metrics = checkpoint.metrics.clone();
        (self.validated, self.validated_at) = (checkpoint.validated.clone(), checkpoint.validated_at);
        self.has_validated = !self.validated.is_empty();
        (self.trainer.global_step, self.trainer.epoch) = (self.at.global_step, self.at.epoch);
        self.learning_rates = self.optimizers.learning_rates();
        self.device.set_random_state(checkpoint.random);
        let step = self.at.global_step;
        // A logger that was not there has nothing to take back but later steps.
        let positions = checkpoint.logged.iter().copied().chain(std::iter::repeat(u64::MAX));
        let mut loggers = self.trainer.loggers.iter_mut().zip(positions);
        loggers.try_for_each(|(logger, position)| unless_lost(logger.resume(step, position), LOST))
    }
}

/// What callbacks may ask for while they run: values on their way must be written before a checkpoint is, or a run that
/// goes on from it would miss them.
struct Pending {
    reads: Reads,
    loggers: Vec<Box<dyn Logger>>,
    arrived: BTreeMap<String, f64>,
    /// How many of the callbacks' own values have been written.
    logged: usize,
    saved: Option<PathBuf>,
}

impl Pending {
    fn collect(&mut self, at: Position, to_log: &[(String, f64)]) -> Result<()> {
        for (step, values) in self.reads.finish()? {
            self.log(at.epoch, step, values)?;
        }
        let more = to_log[self.logged..].to_vec();
        self.logged = to_log.len();
        if more.is_empty() { Ok(()) } else { self.log(at.epoch, at.global_step, more) }
    }

    fn log(&mut self, epoch: u64, step: u64, values: Values) -> Result<()> {
        log_all(&mut self.loggers, epoch, step, &values)?;
        self.arrived.extend(values);
        Ok(())
    }
}
