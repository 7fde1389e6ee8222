//! The trainer's logger.

use std::path::{Path, PathBuf};

use super::{SummaryWriter, hparams};
use crate::train::{HParams, Logger};
use crate::{Error, Result};

/// Writes what a [`Trainer`](crate::train::Trainer) logs for TensorBoard, into `DIR/NAME/version_N`: Lightning's
/// `TensorBoardLogger`.
///
/// Numbers are scalars; with them `epoch` is logged. The module's [hyper-parameters](crate::train::LightningModule::hparams)
/// are shown with all of the run's numbers as metrics. For anything else there is [`TensorBoardLogger::experiment`].
///
/// ```
/// use lumigrad::{tensorboard::TensorBoardLogger, train::Trainer};
/// # let dir = tempfile::tempdir().unwrap();
/// # let logs = dir.path();
/// let logger = TensorBoardLogger::new(logs, "mnist")?; // tensorboard --logdir logs
/// assert!(logger.log_dir().ends_with("mnist/version_0"));
/// let writer = logger.experiment();
/// let trainer = Trainer::new().logger(logger);
/// writer.add_text("notes", "a first try", 0)?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub struct TensorBoardLogger {
    writer: SummaryWriter,
    has_hparams: bool,
}

impl TensorBoardLogger {
    /// In the first `version_N` that is not there yet.
    ///
    /// # Errors
    /// When the folder can't be read or written.
    pub fn new(dir: impl AsRef<Path>, name: &str) -> Result<Self> {
        let dir = dir.as_ref().join(name);
        let mut next = 0;
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(&dir, error)),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(|e| Error::file(&dir, e))?.file_name();
            let number = entry.to_str().and_then(|name| name.strip_prefix("version_")?.parse::<u64>().ok());
            next = next.max(number.map_or(0, |n| n + 1));
        }
        Self::at(dir.join(format!("version_{next}")))
    }

    /// In this folder, whatever it holds: how a run goes on that was stopped. Then what earlier files have of steps after
    /// the checkpoint is hidden.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn at(dir: impl AsRef<Path>) -> Result<Self> {
        Ok(TensorBoardLogger { writer: SummaryWriter::new(dir)?, has_hparams: false })
    }

    /// The folder of this run.
    pub fn log_dir(&self) -> PathBuf {
        self.writer.log_dir()
    }

    /// The writer, for pictures, histograms, graphs and texts of one's own.
    pub fn experiment(&self) -> SummaryWriter {
        self.writer.clone()
    }
}

impl Logger for TensorBoardLogger {
    fn log(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let epoch = [("epoch".to_string(), epoch as f64)];
        self.writer.add_numbers(&[values, &epoch].concat(), step)
    }

    fn log_hparams(&mut self, hparams: &HParams) -> Result<()> {
        self.has_hparams = true;
        self.writer.write(0, hparams::session_start(hparams))
    }

    fn resume(&mut self, step: u64, _position: u64) -> Result<()> {
        self.writer.purge(step + 1)
    }

    fn finish(&mut self, success: bool) -> Result<()> {
        if self.has_hparams {
            self.writer.write(0, hparams::session_end(success))?;
        }
        self.writer.flush()
    }
}
