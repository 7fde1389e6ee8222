//! The trainer: how long, with what, and its entry points.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::checkpoint::Position;
use super::evaluate::Evaluation;
use super::logger::log_all;
use super::progress::{Progress, suspend_progress};
use super::run::Fit;
use super::{Callback, Checkpoint, DataModule, FloatPrecision, LightningModule, Log, Logger, Stage, TensorBatch};
use crate::data::DataLoader;
use crate::tensor::Tensor;
use crate::{Device, Error, Result};

/// How many batches of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// All.
    All,
    /// This many at most.
    Batches(usize),
    /// This share of them, from 0 to 1, rounded down.
    Share(f64),
}

impl Limit {
    pub(super) fn of(self, batches: usize) -> usize {
        match self {
            Limit::All => batches,
            Limit::Batches(n) => n.min(batches),
            Limit::Share(share) => ((batches as f64 * share) as usize).min(batches),
        }
    }
}

impl From<usize> for Limit {
    fn from(batches: usize) -> Self {
        Limit::Batches(batches)
    }
}

impl From<f64> for Limit {
    fn from(share: f64) -> Self {
        Limit::Share(share)
    }
}

/// How gradients are clipped before an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// The norm of all gradients together is at most this.
    Norm(f64),
    /// Each element is at most this far from 0.
    Value(f64),
}

/// Runs trainings and evaluations: Lightning's `Trainer`.
///
/// See [the module](super) for an example.
pub struct Trainer {
    pub(super) max_epochs: Option<u64>,
    pub(super) min_epochs: u64,
    pub(super) max_steps: Option<u64>,
    pub(super) max_time: Option<Duration>,
    pub(super) limit_train: Limit,
    pub(super) limit_val: Limit,
    pub(super) limit_test: Limit,
    pub(super) limit_predict: Limit,
    pub(super) accumulate: usize,
    pub(super) clip: Option<Clip>,
    pub(super) check_val_every: u64,
    pub(super) val_check_interval: Limit,
    pub(super) sanity_batches: usize,
    pub(super) overfits: bool,
    pub(super) detects_anomalies: bool,
    pub(super) captures: bool,
    pub(super) precision: FloatPrecision,
    pub(super) root: PathBuf,
    pub(super) log_every: u64,
    pub(super) callbacks: Vec<Box<dyn Callback>>,
    pub(super) loggers: Vec<Box<dyn Logger>>,
    pub(super) progress: bool,
    pub(super) resume: Option<PathBuf>,
    pub(super) last_checkpoint: Option<PathBuf>,
    pub(super) is_fast_dev_run: bool,
    pub(super) device: Option<Device>,
    pub(super) interrupted: Arc<AtomicBool>,
    pub(super) running: Arc<AtomicBool>,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) global_step: u64,
    pub(super) epoch: u64,
}

impl Trainer {
    /// For 1,000 epochs unless [`Trainer::max_epochs`] or [`Trainer::max_steps`] says otherwise, on the current device.
    pub fn new() -> Self {
        Trainer {
            max_epochs: None,
            min_epochs: 0,
            max_steps: None,
            max_time: None,
            limit_train: Limit::All,
            limit_val: Limit::All,
            limit_test: Limit::All,
            limit_predict: Limit::All,
            accumulate: 1,
            clip: None,
            check_val_every: 1,
            val_check_interval: Limit::All,
            sanity_batches: 2,
            overfits: false,
            detects_anomalies: false,
            captures: false,
            precision: FloatPrecision::F32,
            root: PathBuf::new(),
            log_every: 50,
            callbacks: Vec::new(),
            loggers: Vec::new(),
            progress: true,
            resume: None,
            last_checkpoint: None,
            is_fast_dev_run: false,
            device: None,
            interrupted: Arc::default(),
            running: Arc::default(),
            metrics: BTreeMap::new(),
            global_step: 0,
            epoch: 0,
        }
    }

    /// Ends after so many epochs.
    pub fn max_epochs(mut self, epochs: u64) -> Self {
        self.max_epochs = Some(epochs);
        self
    }

    /// Ends after so many updates.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// Trains for so many epochs at least, whatever a callback says.
    pub fn min_epochs(mut self, epochs: u64) -> Self {
        self.min_epochs = epochs;
        self
    }

    /// Ends after the step in progress when this time is over, counted from the call of [`Trainer::fit`].
    pub fn max_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// How many training batches an epoch has: a number or a share.
    pub fn limit_train_batches(mut self, limit: impl Into<Limit>) -> Self {
        self.limit_train = limit.into();
        self
    }

    /// How many batches a validation has: a number or a share.
    pub fn limit_val_batches(mut self, limit: impl Into<Limit>) -> Self {
        self.limit_val = limit.into();
        self
    }

    /// How many batches a test has: a number or a share.
    pub fn limit_test_batches(mut self, limit: impl Into<Limit>) -> Self {
        self.limit_test = limit.into();
        self
    }

    /// How many batches a prediction has: a number or a share.
    pub fn limit_predict_batches(mut self, limit: impl Into<Limit>) -> Self {
        self.limit_predict = limit.into();
        self
    }

    /// One epoch of this many batches of everything, to see whether a program runs: without loggers, checkpoints or early
    /// stopping.
    pub fn fast_dev_run(mut self, batches: usize) -> Self {
        self.is_fast_dev_run = true;
        let run = self.max_epochs(1).limit_train_batches(batches).limit_val_batches(batches);
        run.limit_test_batches(batches).limit_predict_batches(batches)
    }

    /// Trains on so few batches (a number or a share), the same in every epoch, that a model which can learn at all learns
    /// them by heart.
    pub fn overfit_batches(mut self, limit: impl Into<Limit>) -> Self {
        let limit = limit.into();
        self.overfits = true;
        self.limit_train_batches(limit).limit_val_batches(limit)
    }

    /// Adds up the gradients of this many batches before an update (1). The loss is divided by it.
    ///
    /// # Panics
    /// When it is 0.
    #[track_caller]
    pub fn accumulate_grad_batches(mut self, batches: usize) -> Self {
        assert!(batches > 0, "accumulate_grad_batches: 0 given, expected 1 or more");
        self.accumulate = batches;
        self
    }

    /// Clips the norm of all gradients together before an update.
    pub fn gradient_clip_val(self, max_norm: f64) -> Self {
        self.gradient_clip(Clip::Norm(max_norm))
    }

    /// Clips gradients before an update.
    pub fn gradient_clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// Validates only in every so many epochs (1).
    pub fn check_val_every_n_epoch(mut self, epochs: u64) -> Self {
        self.check_val_every = epochs.max(1);
        self
    }

    /// Validates after every so many training batches, or after every such share of an epoch, in place of its end.
    pub fn val_check_interval(mut self, interval: impl Into<Limit>) -> Self {
        self.val_check_interval = interval.into();
        self
    }

    /// How many batches are validated before the first step, so that a mistake there does not show after hours (2). What
    /// they give is forgotten.
    pub fn num_sanity_val_steps(mut self, batches: usize) -> Self {
        self.sanity_batches = batches;
        self
    }

    /// Whether every step looks for the operation that makes the first NaN or infinity, which is slow; see
    /// [`detect_anomaly`](crate::autograd::detect_anomaly) (false).
    pub fn detect_anomaly(mut self, detect: bool) -> Self {
        self.detects_anomalies = detect;
        self
    }

    /// Whether the step is recorded and replayed, which saves most of the host's time and leaves every bit as it is (false).
    /// [`Capture`](crate::Capture) tells what a step may do then; a batch of another size is recorded on its own.
    ///
    /// The host's part of a step runs three times only: `training_step` itself, `on_before_optimizer_step` and what
    /// callbacks do [before an update](super::Moment::BeforeUpdate). Everything else runs as without. It does not go with
    /// [`Trainer::accumulate_grad_batches`].
    pub fn capture(mut self, capture: bool) -> Self {
        self.captures = capture;
        self
    }

    /// What steps compute in ([`FloatPrecision::F32`]).
    ///
    /// ```
    /// # use lumigrad::train::{FloatPrecision, Trainer};
    /// let trainer = Trainer::new().precision(FloatPrecision::F16Mixed).gradient_clip_val(1.0);
    /// ```
    ///
    /// Steps of training, validation, test and prediction run under [`autocast`](crate::autocast()). With
    /// [`FloatPrecision::F16Mixed`] a [`GradScaler`](crate::amp::GradScaler) scales the loss; clipping and
    /// `on_before_optimizer_step` see the gradients as they are, and an update that it leaves out counts as a step.
    pub fn precision(mut self, precision: FloatPrecision) -> Self {
        self.precision = precision;
        self
    }

    /// Where an interrupted training is saved if no callback does it (the working directory).
    pub fn default_root_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.root = dir.as_ref().to_path_buf();
        self
    }

    /// Writes values of steps after every so many updates (50).
    pub fn log_every_n_steps(mut self, steps: u64) -> Self {
        self.log_every = steps.max(1);
        self
    }

    /// Adds a callback. Those that write checkpoints come after all others.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        let saving = self.callbacks.iter().position(|c| c.saves_checkpoints());
        let place = saving.filter(|_| !callback.saves_checkpoints()).unwrap_or(self.callbacks.len());
        self.callbacks.insert(place, Box::new(callback));
        self
    }

    /// Adds a logger.
    pub fn logger(mut self, logger: impl Logger + 'static) -> Self {
        self.loggers.push(Box::new(logger));
        self
    }

    /// Whether a progress bar is shown on a terminal, and a line an epoch where there is none (true).
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// The device to train on; the module is moved there.
    pub fn device(mut self, device: &Device) -> Self {
        self.device = Some(device.clone());
        self
    }

    /// Goes on from a checkpoint of the same program. A damaged one is refused when the training begins;
    /// [`Checkpoint::latest`] finds the newest that is whole.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Self {
        self.resume = Some(path.as_ref().to_path_buf());
        self
    }

    /// A switch that ends the training after the step in progress, for another thread.
    pub fn interrupt_handle(&self) -> Arc<AtomicBool> {
        self.interrupted.clone()
    }

    /// What Ctrl-C should do: the first time, the training ends after the step in progress (or the validation), writes a
    /// checkpoint and says how to go on; the second time, or when nothing is trained, the program ends at once. With the
    /// crate `ctrlc`:
    ///
    /// ```no_run
    /// # let trainer = lumigrad::train::Trainer::new();
    /// ctrlc::set_handler(trainer.interrupt_handler()).expect("there is no other handler");
    /// ```
    ///
    /// Without a callback that writes checkpoints there is one in [`Trainer::default_root_dir`], as `interrupted.ckpt`.
    pub fn interrupt_handler(&self) -> impl FnMut() + Send + 'static {
        let (running, interrupted) = (self.running.clone(), self.interrupted.clone());
        move || {
            let first = !interrupted.swap(true, Ordering::Relaxed);
            if first && running.load(Ordering::Relaxed) {
                suspend_progress(|| eprintln!("ending after this step; Ctrl-C once more ends at once"));
            } else {
                // What a shell says of a program that SIGINT has ended.
                suspend_progress(|| std::process::exit(130));
            }
        }
    }

    /// Whether the last training was ended by [`Trainer::interrupt_handle`] or [`Trainer::interrupt_handler`].
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The best checkpoint of the callback that keeps some, and its value: Lightning's `best_model_path`.
    pub fn best_model(&self) -> Option<(PathBuf, f64)> {
        self.callbacks.iter().find_map(|callback| callback.best_model())
    }

    /// The checkpoint that was written last.
    pub fn last_checkpoint(&self) -> Option<&Path> {
        self.last_checkpoint.as_deref()
    }

    /// The latest value of everything that was logged.
    pub fn metrics(&self) -> &BTreeMap<String, f64> {
        &self.metrics
    }

    /// Updates of the parameters so far.
    pub fn global_step(&self) -> u64 {
        self.global_step
    }

    /// Epochs that are complete.
    pub fn current_epoch(&self) -> u64 {
        self.epoch
    }

    /// Trains.
    ///
    /// # Errors
    /// The first failure of data, module, device, files or a callback.
    pub fn fit(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<()> {
        data.prepare_data()?;
        let (mut train, val) = (data.train_dataloader()?, data.val_dataloader()?);
        if self.overfits {
            train = train.shuffle(false);
        }
        let device = self.place(module)?;
        let resume = self.resume.take().map(|path| Checkpoint::load(path, &device)).transpose()?;
        self.interrupted.store(false, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
        let running = self.running.clone();
        let result = Fit::new(self, module, device, train, val).and_then(|fit| fit.run(resume));
        running.store(false, Ordering::Relaxed);
        result
    }

    /// Validates, and gives the means of what was logged; loggers get them after a training.
    ///
    /// # Errors
    /// When there is no data to validate on, and as [`Trainer::fit`].
    pub fn validate(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<BTreeMap<String, f64>> {
        data.prepare_data()?;
        let loader = needed(data.val_dataloader()?, Stage::Validate)?;
        let device = self.place(module)?;
        let limit = self.limit_val.of(loader.len());
        let evaluation = self.evaluation(module, &device, limit, "validation");
        let means = evaluation.validate(&loader, &mut Progress::new(self.progress))?;
        self.keep(means)
    }

    /// Tests, and gives the means of what was logged; loggers get them after a training.
    ///
    /// # Errors
    /// When there is no data to test on, and as [`Trainer::fit`].
    pub fn test(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<BTreeMap<String, f64>> {
        data.prepare_data()?;
        let loader = needed(data.test_dataloader()?, Stage::Test)?;
        let device = self.place(module)?;
        let limit = self.limit_test.of(loader.len());
        let step = |batch: &TensorBatch, log: &mut Log| module.test_step(batch, log);
        let end = |log: &mut Log| module.on_test_epoch_end(log);
        let start = || module.on_test_epoch_start();
        let evaluation = self.evaluation(module, &device, limit, "test");
        let means = evaluation.run(&loader, &start, &step, &end, &mut Progress::new(self.progress))?;
        self.keep(means)
    }

    /// What an evaluation gave are metrics, which belong into the logs of a training that was before it.
    fn keep(&mut self, means: BTreeMap<String, f64>) -> Result<BTreeMap<String, f64>> {
        let values: Vec<(String, f64)> = means.iter().map(|(name, mean)| (name.clone(), *mean)).collect();
        let trained = self.global_step > 0 && !self.is_fast_dev_run && !values.is_empty();
        if trained {
            log_all(&mut self.loggers, self.epoch, self.global_step, &values)?;
        }
        self.metrics.extend(values);
        Ok(means)
    }

    /// What the module predicts for each batch.
    ///
    /// # Errors
    /// When there is no data to predict for, and as [`Trainer::fit`].
    pub fn predict(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<Vec<Tensor>> {
        data.prepare_data()?;
        let loader = needed(data.predict_dataloader()?, Stage::Predict)?;
        let device = self.place(module)?;
        let limit = self.limit_predict.of(loader.len());
        let mut all = Vec::new();
        let mut progress = Progress::new(self.progress);
        let evaluation = self.evaluation(module, &device, limit, "predict");
        evaluation.each(&loader, &mut progress, &mut |batch, _| {
            all.push(module.predict_step(batch)?);
            Ok(())
        })?;
        progress.end_evaluation();
        Ok(all)
    }

    /// A pass outside of a training.
    fn evaluation<'a, M>(&self, module: &'a M, device: &'a Device, limit: usize, title: &'a str) -> Evaluation<'a, M> {
        Evaluation { module, device, limit, at: self.position(), precision: self.precision, title }
    }

    fn position(&self) -> Position {
        Position { epoch: self.epoch, batch: 0, global_step: self.global_step }
    }

    fn place(&self, module: &impl LightningModule) -> Result<Device> {
        let device = self.device.clone().unwrap_or_else(Device::current);
        module.to(&device)?;
        Ok(device)
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Self::new()
    }
}

fn needed(loader: Option<DataLoader>, stage: Stage) -> Result<DataLoader> {
    loader.ok_or_else(|| {
        let what = match stage {
            Stage::Validate => "val_dataloader",
            Stage::Test => "test_dataloader",
            _ => "predict_dataloader",
        };
        Error::argument("Trainer", format!("the data module has no {what}"))
    })
}
