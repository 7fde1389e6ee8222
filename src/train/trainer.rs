//! The trainer: how long, with what, and its entry points.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::run::{Evaluation, Fit};
use super::{Callback, Checkpoint, DataModule, LightningModule, Log, Logger, Stage, TensorBatch};
use crate::autograd::no_grad;
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
    pub(super) max_steps: Option<u64>,
    pub(super) limit_train: Limit,
    pub(super) limit_val: Limit,
    pub(super) limit_test: Limit,
    pub(super) limit_predict: Limit,
    pub(super) accumulate: usize,
    pub(super) clip: Option<Clip>,
    pub(super) check_val_every: u64,
    pub(super) val_check_interval: Option<usize>,
    pub(super) log_every: u64,
    pub(super) callbacks: Vec<Box<dyn Callback>>,
    pub(super) loggers: Vec<Box<dyn Logger>>,
    pub(super) progress: bool,
    pub(super) resume: Option<PathBuf>,
    pub(super) device: Option<Device>,
    pub(super) interrupted: Arc<AtomicBool>,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) global_step: u64,
    pub(super) epoch: u64,
}

impl Trainer {
    /// For 1,000 epochs unless [`Trainer::max_epochs`] or [`Trainer::max_steps`] says otherwise, on the current device.
    pub fn new() -> Self {
        Trainer {
            max_epochs: None,
            max_steps: None,
            limit_train: Limit::All,
            limit_val: Limit::All,
            limit_test: Limit::All,
            limit_predict: Limit::All,
            accumulate: 1,
            clip: None,
            check_val_every: 1,
            val_check_interval: None,
            log_every: 50,
            callbacks: Vec::new(),
            loggers: Vec::new(),
            progress: true,
            resume: None,
            device: None,
            interrupted: Arc::default(),
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

    /// One epoch of this many batches of everything, to see whether a program runs.
    pub fn fast_dev_run(self, batches: usize) -> Self {
        let run = self.max_epochs(1).limit_train_batches(batches).limit_val_batches(batches);
        run.limit_test_batches(batches).limit_predict_batches(batches)
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

    /// Clips gradients before an update.
    pub fn gradient_clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// Validates after every so many epochs (1).
    pub fn check_val_every_n_epoch(mut self, epochs: u64) -> Self {
        self.check_val_every = epochs.max(1);
        self
    }

    /// Validates after every so many training batches too.
    pub fn val_check_interval(mut self, batches: usize) -> Self {
        self.val_check_interval = Some(batches.max(1));
        self
    }

    /// Writes values of steps after every so many updates (50).
    pub fn log_every_n_steps(mut self, steps: u64) -> Self {
        self.log_every = steps.max(1);
        self
    }

    /// Adds a callback.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
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

    /// A switch that ends the training after the step in progress, for a signal handler or another thread.
    pub fn interrupt_handle(&self) -> Arc<AtomicBool> {
        self.interrupted.clone()
    }

    /// Whether the last training was ended by [`Trainer::interrupt_handle`].
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
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
        let (train, val) = (data.train_dataloader()?, data.val_dataloader()?);
        let device = self.place(module)?;
        let resume = self.resume.take().map(|path| Checkpoint::load(path, &device)).transpose()?;
        Fit::new(self, module, device, train, val)?.run(resume)
    }

    /// Validates, and gives the means of what was logged.
    ///
    /// # Errors
    /// When there is no data to validate on, and as [`Trainer::fit`].
    pub fn validate(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<BTreeMap<String, f64>> {
        data.prepare_data()?;
        let loader = needed(data.val_dataloader()?, Stage::Validate)?;
        let device = self.place(module)?;
        let limit = self.limit_val.of(loader.len());
        let step = |batch: &TensorBatch, log: &mut Log| module.validation_step(batch, log);
        Evaluation { module, device: &device, limit }.run(&loader, &step)
    }

    /// Tests, and gives the means of what was logged.
    ///
    /// # Errors
    /// When there is no data to test on, and as [`Trainer::fit`].
    pub fn test(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<BTreeMap<String, f64>> {
        data.prepare_data()?;
        let loader = needed(data.test_dataloader()?, Stage::Test)?;
        let device = self.place(module)?;
        let limit = self.limit_test.of(loader.len());
        let step = |batch: &TensorBatch, log: &mut Log| module.test_step(batch, log);
        Evaluation { module, device: &device, limit }.run(&loader, &step)
    }

    /// What the module predicts for each batch.
    ///
    /// # Errors
    /// When there is no data to predict for, and as [`Trainer::fit`].
    pub fn predict(&mut self, module: &impl LightningModule, data: &dyn DataModule) -> Result<Vec<Tensor>> {
        data.prepare_data()?;
        let loader = needed(data.predict_dataloader()?, Stage::Predict)?;
        let device = self.place(module)?;
        module.eval();
        let batches = loader.epoch(0).take(self.limit_predict.of(loader.len()));
        let predict = |batch: Result<crate::data::Batch>| {
            let batch = TensorBatch::upload(&batch?, &device)?;
            no_grad(|| module.predict_step(&batch))
        };
        let all = batches.map(predict).collect();
        module.train();
        all
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
