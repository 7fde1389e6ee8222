//! Keeping the best and the last state of a training.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::logger::unless_lost;
use super::{Callback, Mode, Moment, Status};
use crate::{Error, Result};

/// Writes checkpoints and keeps the best and the last: Lightning's `ModelCheckpoint`.
///
/// Beside `last.ckpt` there is `previous.ckpt`, the one before it, in case a disk damages a file:
/// [`Checkpoint::latest`](super::Checkpoint::latest) finds the newest that is whole. A checkpoint that can't be written,
/// as on a full disk, is logged as an error and left out; the training goes on, and what was there before stays. Only
/// when that happens at the end is it an error of the training.
///
/// ```
/// use lumigrad::train::{Mode, ModelCheckpoint, Trainer};
/// let checkpoints = ModelCheckpoint::new("out/run").monitor("val_accuracy", Mode::Max, 3);
/// let trainer = Trainer::new().callback(checkpoints.filename("{epoch}-{val_accuracy:.3}"));
/// // After the training, the best is `trainer.best_model()`.
/// ```
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    dir: PathBuf,
    monitor: Option<String>,
    mode: Mode,
    keep: usize,
    filename: Option<String>,
    keeps_last: bool,
    every_steps: Option<u64>,
    every_epochs: u64,
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
            filename: None,
            keeps_last: true,
            every_steps: None,
            every_epochs: 1,
            kept: Vec::new(),
            wrote_last: false,
        }
    }

    /// Keeps the `keep` best by this metric too (`usize::MAX` keeps all), as `epoch=3-val_loss=0.1234.ckpt`. It looks after every validation that
    /// brings the metric, or after every epoch for a metric of the training.
    pub fn monitor(mut self, metric: &str, mode: Mode, keep: usize) -> Self {
        (self.monitor, self.mode, self.keep) = (Some(metric.into()), mode, keep);
        self
    }

    /// The names of the best: `{epoch}-{step}-{val_loss:.2}` becomes `epoch=3-step=480-val_loss=0.31.ckpt`. Any metric that
    /// was logged may stand there, with a number of digits behind the point (4).
    pub fn filename(mut self, pattern: &str) -> Self {
        self.filename = Some(pattern.into());
        self
    }

    /// Whether `last.ckpt` is written (true).
    pub fn save_last(mut self, save: bool) -> Self {
        self.keeps_last = save;
        self
    }

    /// Writes `last.ckpt` every so many updates too.
    pub fn every_n_train_steps(mut self, steps: u64) -> Self {
        self.every_steps = Some(steps.max(1));
        self
    }

    /// Looks only after every so many epochs (1).
    pub fn every_n_epochs(mut self, epochs: u64) -> Self {
        self.every_epochs = epochs.max(1);
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
    fn write_last(&mut self, status: &Status<'_>) -> Result<()> {
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

    /// The file of a state, which none of those that are kept has.
    fn path(&self, metric: &str, status: &Status<'_>) -> Result<PathBuf> {
        let default = format!("{{epoch}}-{{{metric}}}");
        let name = fill(self.filename.as_ref().unwrap_or(&default), &|name| match name {
            "epoch" => Some((status.epoch as f64, 0)),
            "step" => Some((status.global_step as f64, 0)),
            metric => status.metrics.get(metric).map(|value| (*value, 4)),
        })?;
        let numbered = |n: usize| if n == 0 { format!("{name}.ckpt") } else { format!("{name}-v{n}.ckpt") };
        let mut paths = (0..).map(|n| self.dir.join(numbered(n)));
        Ok(paths.find(|path| self.kept.iter().all(|(kept, _)| kept != path)).expect("there is always a next number"))
    }

    /// Writes a checkpoint if it is among the best, and removes the one that it drives out.
    fn keep_best(&mut self, value: f64, metric: &str, status: &Status<'_>) -> Result<()> {
        let place = self.kept.iter().position(|(_, kept)| self.mode.is_better(value, Some(*kept), 0.0));
        let place = place.unwrap_or(self.kept.len());
        if value.is_nan() || place >= self.keep {
            return Ok(());
        }
        let path = self.path(metric, status)?;
        let before = self.kept.clone();
        self.kept.insert(place, (path.clone(), value));
        let driven_out = self.kept.split_off(self.keep.min(self.kept.len()));
        if let Err(e) = status.save_checkpoint(&path, self) {
            self.kept = before;
            return Err(e);
        }
        for (old, _) in driven_out {
            if let Err(e) = std::fs::remove_file(&old) {
                log::warn!("{}: an old checkpoint stays: {e}", old.display());
            }
        }
        Ok(())
    }
}

/// A file that can't be written costs only that checkpoint.
fn left_out(saved: Result<()>) -> Result<()> {
    unless_lost(saved, "this checkpoint is left out")
}

/// Replaces `{name}` and `{name:.digits}` by `name=value`.
fn fill(pattern: &str, value: &dyn Fn(&str) -> Option<(f64, usize)>) -> Result<String> {
    let wrong = |detail: String| Error::argument("ModelCheckpoint", format!("the pattern {pattern:?}: {detail}"));
    let (mut name, mut rest) = (String::new(), pattern);
    while let Some((before, after)) = rest.split_once('{') {
        let (field, after) = after.split_once('}').ok_or_else(|| wrong("a brace is not closed".into()))?;
        let (metric, digits) = field.split_once(':').map_or((field, None), |(metric, digits)| (metric, Some(digits)));
        let (value, default) = value(metric).ok_or_else(|| wrong(format!("nothing was logged as {metric:?}")))?;
        let digits = match digits {
            None => default,
            Some(text) => {
                let number = text.strip_prefix('.').map(|digits| digits.trim_end_matches('f').parse());
                number.and_then(|n| n.ok()).ok_or_else(|| wrong(format!("{text:?} is not of the form `.2`")))?
            }
        };
        name.push_str(&format!("{before}{metric}={value:.digits$}"));
        rest = after;
    }
    Ok((name + rest).replace(['/', '\\'], "_"))
}

impl Callback for ModelCheckpoint {
    fn name(&self) -> String {
        format!("ModelCheckpoint({})", self.monitor.as_deref().unwrap_or("last"))
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        if moment == Moment::FitStart {
            return self.prepare();
        }
        let looks = (status.epoch + 1).is_multiple_of(self.every_epochs);
        if let Some(metric) = self.monitor.clone().filter(|_| looks)
            && let Some(value) = status.fresh(moment, &metric, "ModelCheckpoint")?
        {
            left_out(self.keep_best(value, &metric, status))?;
        }
        match moment {
            _ if !self.keeps_last => Ok(()),
            Moment::EpochEnd if looks => left_out(self.write_last(status)),
            Moment::StepEnd if self.every_steps.is_some_and(|n| status.global_step.is_multiple_of(n)) => {
                left_out(self.write_last(status))
            }
            // The end may lie within an epoch.
            Moment::FitEnd => self.write_last(status),
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

    fn best_model(&self) -> Option<(PathBuf, f64)> {
        self.kept.first().cloned()
    }

    fn saves_checkpoints(&self) -> bool {
        true
    }

    fn is_in_fast_dev_run(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_filled() {
        let value = |name: &str| match name {
            "epoch" => Some((3.0, 0)),
            "val/loss" => Some((0.12345, 4)),
            _ => None,
        };
        let fill = |pattern: &str| fill(pattern, &value);
        assert_eq!(fill("{epoch}-{val/loss}").unwrap(), "epoch=3-val_loss=0.1235");
        assert_eq!(fill("best-{val/loss:.2f}-x").unwrap(), "best-val_loss=0.12-x");
        assert_eq!(fill("plain").unwrap(), "plain");
        for wrong in ["{epoch", "{loss}", "{epoch:2}"] {
            assert!(fill(wrong).unwrap_err().to_string().contains(wrong), "{wrong}");
        }
    }
}
