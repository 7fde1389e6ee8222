//! What happens round the steps: stopping early, checkpoints, the learning rate, and own ideas.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::nn::Module;
use crate::{Error, Result};

/// When a callback is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first step.
    FitStart,
    /// Before an epoch's first step.
    EpochStart,
    /// After an update of the parameters.
    StepEnd,
    /// After a validation; its means are among the metrics.
    ValidationEnd,
    /// After an epoch and its validation.
    EpochEnd,
    /// At the end, also of one that was interrupted.
    FitEnd,
}

/// What a callback sees and may change.
pub struct Status<'a> {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Updates so far.
    pub global_step: u64,
    /// The latest value of everything that was logged and has arrived.
    pub metrics: &'a BTreeMap<String, f64>,
    /// The learning rate of each group of parameters.
    pub learning_rates: Vec<f64>,
    /// The module that is trained.
    pub module: &'a dyn Module,
    /// Ends the training after this epoch or step.
    pub should_stop: &'a mut bool,
    /// Goes to the loggers.
    pub to_log: &'a mut Vec<(String, f64)>,
    pub(super) save: &'a Save<'a>,
}

/// Writes a checkpoint with the state of the callback that asks for it.
pub(super) type Save<'a> = dyn Fn(&Path, String, Json) -> Result<()> + 'a;

impl Status<'_> {
    /// Writes everything that is needed to go on from here to one file; `callback` is who asks.
    ///
    /// # Errors
    /// When something can't be read from the device or the file can't be written; then there is no file, or the one that
    /// was there before.
    pub fn save_checkpoint(&self, path: &Path, callback: &dyn Callback) -> Result<()> {
        (self.save)(path, callback.name(), callback.state())
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

/// A metric that must have been logged.
fn monitored(metrics: &BTreeMap<String, f64>, name: &str, who: &'static str) -> Result<f64> {
    metrics.get(name).copied().ok_or_else(|| {
        let known: Vec<_> = metrics.keys().collect();
        Error::argument(who, format!("nothing was logged as {name:?}; there is {known:?}"))
    })
}

/// Ends the training when a metric has not become better for a while: Lightning's `EarlyStopping`.
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: String,
    mode: Mode,
    patience: usize,
    min_delta: f64,
    best: Option<f64>,
    waited: usize,
}

impl EarlyStopping {
    /// Watches this metric after every validation (or epoch without one), with a patience of 3.
    pub fn new(monitor: &str) -> Self {
        EarlyStopping { monitor: monitor.into(), mode: Mode::Min, patience: 3, min_delta: 0.0, best: None, waited: 0 }
    }

    /// Whether the metric is to fall (which is assumed) or to rise.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How many looks without a better value are borne.
    pub fn patience(mut self, looks: usize) -> Self {
        self.patience = looks;
        self
    }

    /// How much better counts as better (0).
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> String {
        format!("EarlyStopping({})", self.monitor)
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        if moment != Moment::EpochEnd {
            return Ok(());
        }
        let value = monitored(status.metrics, &self.monitor, "EarlyStopping")?;
        if self.mode.is_better(value, self.best, self.min_delta) {
            (self.best, self.waited) = (Some(value), 0);
            return Ok(());
        }
        self.waited += 1;
        if self.waited >= self.patience {
            let best = self.best.map_or("none".to_string(), |best| best.to_string());
            log::info!("{} has not become better than {best} {} times: stopping", self.monitor, self.waited);
            *status.should_stop = true;
        }
        Ok(())
    }

    fn state(&self) -> Json {
        json!({ "best": self.best, "waited": self.waited })
    }

    fn load_state(&mut self, state: &Json) -> Result<()> {
        self.best = state["best"].as_f64();
        self.waited = state["waited"].as_u64().unwrap_or(0) as usize;
        Ok(())
    }
}

/// Writes checkpoints and keeps the best and the last: Lightning's `ModelCheckpoint`.
///
/// Beside `last.ckpt` there is `previous.ckpt`, the one before it, in case a disk damages a file:
/// [`Checkpoint::latest`](super::Checkpoint::latest) finds the newest that is whole. A checkpoint that can't be written,
/// as on a full disk, is logged as an error and left out; the training goes on, and what was there before stays. Only
/// when that happens at the end is it an error of the training.
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    dir: PathBuf,
    monitor: Option<String>,
    mode: Mode,
    keep: usize,
    every_steps: Option<u64>,
    /// What is kept, best first: file and value.
    kept: Vec<(PathBuf, f64)>,
    /// Whether `last.ckpt` is from this run, and so known to be whole.
    wrote_last: bool,
}

impl ModelCheckpoint {
    /// Into this folder: `last.ckpt` after every epoch.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        ModelCheckpoint {
            dir: dir.as_ref().to_path_buf(),
            monitor: None,
            mode: Mode::Min,
            keep: 1,
            every_steps: None,
            kept: Vec::new(),
            wrote_last: false,
        }
    }

    /// Keeps the `keep` best by this metric too, as `epoch=3-val_loss=0.1234.ckpt`.
    pub fn monitor(mut self, metric: &str, mode: Mode, keep: usize) -> Self {
        (self.monitor, self.mode, self.keep) = (Some(metric.into()), mode, keep);
        self
    }

    /// Writes `last.ckpt` every so many updates too.
    pub fn every_n_train_steps(mut self, steps: u64) -> Self {
        self.every_steps = Some(steps.max(1));
        self
    }

    /// The file with the best value so far.
    pub fn best(&self) -> Option<(&Path, f64)> {
        self.kept.first().map(|(path, value)| (path.as_path(), *value))
    }

    /// Where the latest state is.
    pub fn last(&self) -> PathBuf {
        self.dir.join("last.ckpt")
    }

    /// Makes the folder, and clears away what a killed run was writing.
    fn prepare(&self) -> Result<()> {
        let wrong = |e| Error::file(&self.dir, e);
        std::fs::create_dir_all(&self.dir).map_err(wrong)?;
        for entry in std::fs::read_dir(&self.dir).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && name.contains(".ckpt.") && name.ends_with(".tmp") {
                std::fs::remove_file(&path).map_err(|e| Error::file(&path, e))?;
            }
        }
        Ok(())
    }

    /// Writes `last.ckpt`; the one that was there becomes `previous.ckpt`.
    fn save_last(&mut self, status: &Status<'_>) -> Result<()> {
        let (last, previous) = (self.last(), self.dir.join("previous.ckpt"));
        // One from an earlier run may be what a disk has damaged, and must not take the place of a good one.
        if std::mem::take(&mut self.wrote_last) {
            // A second name for the file, so that there is a last one at every moment.
            let link = self.dir.join(".previous.ckpt.tmp");
            let _ = std::fs::remove_file(&link);
            if let Err(e) = std::fs::hard_link(&last, &link).and_then(|()| std::fs::rename(&link, &previous)) {
                log::debug!("{}: no second checkpoint is kept: {e}", previous.display());
            }
        }
        status.save_checkpoint(&last, self)?;
        self.wrote_last = true;
        Ok(())
    }

    /// Writes a checkpoint if it is among the best, and removes the one that it drives out.
    fn keep_best(&mut self, metric: &str, status: &Status<'_>) -> Result<()> {
        let value = monitored(status.metrics, metric, "ModelCheckpoint")?;
        let place = self.kept.iter().position(|(_, kept)| self.mode.is_better(value, Some(*kept), 0.0));
        let place = place.unwrap_or(self.kept.len());
        if value.is_nan() || place >= self.keep {
            return Ok(());
        }
        let name = metric.replace(['/', '\\'], "_");
        let path = self.dir.join(format!("epoch={}-{name}={value:.4}.ckpt", status.epoch));
        let before = self.kept.clone();
        self.kept.insert(place, (path.clone(), value));
        let driven_out = self.kept.split_off(self.keep.min(self.kept.len()));
        if let Err(e) = status.save_checkpoint(&path, self) {
            self.kept = before;
            return Err(e);
        }
        for (old, _) in driven_out.iter().filter(|(old, _)| *old != path) {
            if let Err(e) = std::fs::remove_file(old) {
                log::warn!("{}: an old checkpoint stays: {e}", old.display());
            }
        }
        Ok(())
    }
}

impl Callback for ModelCheckpoint {
    fn name(&self) -> String {
        format!("ModelCheckpoint({})", self.monitor.as_deref().unwrap_or("last"))
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        match moment {
            Moment::FitStart => self.prepare(),
            Moment::EpochEnd => {
                if let Some(metric) = self.monitor.clone() {
                    left_out(self.keep_best(&metric, status))?;
                }
                left_out(self.save_last(status))
            }
            Moment::StepEnd if self.every_steps.is_some_and(|n| status.global_step.is_multiple_of(n)) => {
                left_out(self.save_last(status))
            }
            // The end may lie within an epoch.
            Moment::FitEnd => self.save_last(status),
            _ => Ok(()),
        }
    }

    fn state(&self) -> Json {
        let kept: Vec<_> = self.kept.iter().map(|(path, value)| json!([path.to_string_lossy(), value])).collect();
        json!({ "kept": kept })
    }

    fn load_state(&mut self, state: &Json) -> Result<()> {
        let rows = state["kept"].as_array().cloned().unwrap_or_default();
        let row = |row: &Json| Some((PathBuf::from(row[0].as_str()?), row[1].as_f64()?));
        self.kept = rows.iter().filter_map(row).filter(|(path, _)| path.exists()).collect();
        Ok(())
    }
}

/// A file that can't be written costs only that checkpoint.
fn left_out(saved: Result<()>) -> Result<()> {
    match saved {
        Err(e @ Error::File { .. }) => {
            log::error!("{e}; this checkpoint is left out, the training goes on");
            Ok(())
        }
        other => other,
    }
}

/// Logs the learning rates, as `lr` or `lr-0`, `lr-1`, …: Lightning's `LearningRateMonitor`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearningRateMonitor;

impl Callback for LearningRateMonitor {
    fn name(&self) -> String {
        "LearningRateMonitor".into()
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        if matches!(moment, Moment::StepEnd | Moment::FitStart) {
            let one = status.learning_rates.len() == 1;
            for (i, lr) in status.learning_rates.iter().enumerate() {
                status.to_log.push((if one { "lr".into() } else { format!("lr-{i}") }, *lr));
            }
        }
        Ok(())
    }
}
