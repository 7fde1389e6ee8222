//! What happens round the steps: the trait, and what it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::progress::suspend_progress;
use crate::nn::Module;
use crate::{Error, Result};

/// When a callback is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// Before the first step.
    FitStart,
    /// Before an epoch's first step.
    EpochStart,
    /// Before an update, with all gradients there and clipped.
    BeforeUpdate,
    /// After an update of the parameters.
    StepEnd,
    /// Before a validation.
    ValidationStart,
    /// After a validation; its means are among the metrics.
    ValidationEnd,
    /// After an epoch and its validation.
    EpochEnd,
    /// At the end, also of one that was interrupted.
    FitEnd,
}

/// What a callback sees and may change.
pub struct Status<'a> {
    /// The epoch in progress or just over, from 0.
    pub epoch: u64,
    /// Updates so far.
    pub global_step: u64,
    /// The latest value of everything that was logged and has arrived.
    pub metrics: &'a BTreeMap<String, f64>,
    /// The learning rate of each group of parameters: after an update, the one that it was made with.
    pub learning_rates: &'a [f64],
    /// Whether values of this step are written, as every few steps.
    pub is_logged_step: bool,
    /// The module that is trained.
    pub module: &'a dyn Module,
    /// Ends the training after this epoch or step.
    pub should_stop: &'a mut bool,
    /// Goes to the loggers.
    pub to_log: &'a mut Vec<(String, f64)>,
    pub(super) news: News<'a>,
    pub(super) save: &'a Save<'a>,
    pub(super) say: &'a dyn Fn(&str),
}

/// What is new among the metrics.
#[derive(Clone, Copy)]
pub(super) struct News<'a> {
    /// Names that come from validations.
    pub validated: &'a BTreeSet<String>,
    /// Whether a validation is part of the epoch that ends.
    pub at_epoch_end: bool,
    /// Whether validations are to come that were not yet.
    pub more_to_come: bool,
}

impl News<'_> {
    /// A metric that the end of an epoch has brought; nothing when it comes later.
    pub fn of_epoch(&self, metrics: &BTreeMap<String, f64>, name: &str, who: &'static str) -> Result<Option<f64>> {
        match metrics.get(name) {
            Some(_) if self.validated.contains(name) && !self.at_epoch_end => Ok(None),
            Some(value) => Ok(Some(*value)),
            None if self.more_to_come => Ok(None),
            None => {
                let known: Vec<_> = metrics.keys().collect();
                Err(Error::argument(who, format!("nothing was logged as {name:?}; there is {known:?}")))
            }
        }
    }
}

/// Writes a checkpoint with the state of the callback that asks for it.
pub(super) type Save<'a> = dyn Fn(&Path, String, Json, &[(String, f64)]) -> Result<()> + 'a;

impl Status<'_> {
    /// Writes everything that is needed to go on from here to one file; `callback` is who asks.
    ///
    /// # Errors
    /// When something can't be read from the device or the file can't be written; then there is no file, or the one that
    /// was there before.
    pub fn save_checkpoint(&self, path: &Path, callback: &dyn Callback) -> Result<()> {
        (self.save)(path, callback.name(), callback.state(), self.to_log)
    }

    /// Writes a line on standard output without breaking the progress bar.
    pub fn print(&self, text: impl std::fmt::Display) {
        suspend_progress(|| println!("{text}"));
    }

    /// The metric, at the moments that bring a new value of it: after validations within an epoch, and after epochs.
    pub(super) fn fresh(&self, moment: Moment, name: &str, who: &'static str) -> Result<Option<f64>> {
        match moment {
            Moment::ValidationEnd if !self.news.at_epoch_end && self.news.validated.contains(name) => {
                Ok(self.metrics.get(name).copied())
            }
            Moment::EpochEnd => self.news.of_epoch(self.metrics, name, who),
            _ => Ok(None),
        }
    }
}

/// Something that the trainer calls at certain moments.
pub trait Callback: Send {
    /// The name under which its state is saved.
    fn name(&self) -> String;

    /// Called at every moment.
    ///
    /// # Errors
    /// Ends the training.
    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()>;

    /// What a checkpoint keeps of it.
    fn state(&self) -> Json {
        Json::Null
    }

    /// Goes on from what a checkpoint kept.
    ///
    /// # Errors
    /// When the state is not this callback's.
    fn load_state(&mut self, _state: &Json) -> Result<()> {
        Ok(())
    }

    /// The best checkpoint so far and its value, of a callback that keeps some.
    fn best_model(&self) -> Option<(PathBuf, f64)> {
        None
    }

    /// Whether it writes checkpoints. Such callbacks come after all others, so that the states of those are kept.
    fn saves_checkpoints(&self) -> bool {
        false
    }

    /// Whether it is called in a [`fast_dev_run`](super::Trainer::fast_dev_run), which leaves no files and stops for
    /// nothing.
    fn is_in_fast_dev_run(&self) -> bool {
        true
    }
}

/// Whether a metric is to fall or to rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Smaller is better, as for a loss.
    #[default]
    Min,
    /// Larger is better, as for an accuracy.
    Max,
}

impl Mode {
    /// Whether `new` is better than `old` by more than `delta`. Nothing is better than NaN, and NaN than nothing.
    pub(super) fn is_better(self, new: f64, old: Option<f64>, delta: f64) -> bool {
        match (self, old) {
            (_, None) => !new.is_nan(),
            (Mode::Min, Some(old)) => new < old - delta,
            (Mode::Max, Some(old)) => new > old + delta,
        }
    }
}

/// Logs the learning rates, as `lr` or `lr-0`, `lr-1`, …, whenever values of a step are written: Lightning's
/// `LearningRateMonitor`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearningRateMonitor;

impl Callback for LearningRateMonitor {
    fn name(&self) -> String {
        "LearningRateMonitor".into()
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        if moment == Moment::StepEnd && status.is_logged_step {
            let one = status.learning_rates.len() == 1;
            for (i, lr) in status.learning_rates.iter().enumerate() {
                status.to_log.push((if one { "lr".into() } else { format!("lr-{i}") }, *lr));
            }
        }
        Ok(())
    }
}
