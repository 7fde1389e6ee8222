//! Where logged numbers go.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Map, json};

use super::HParams;
use crate::io::{append, make_parent};
use crate::{Error, Result};

/// Takes the numbers of a training.
pub trait Logger: Send {
    /// Numbers that belong to a step.
    ///
    /// # Errors
    /// When they can't be kept. A file that can't be written ([`Error::File`], as on a full disk) costs these numbers and
    /// is logged as an error; the training ends with any other.
    fn log(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()>;

    /// What the module says that it is trained with; called before the first step, and not when there is nothing to say.
    ///
    /// # Errors
    /// When it can't be kept.
    fn log_hparams(&mut self, _hparams: &HParams) -> Result<()> {
        Ok(())
    }

    /// How many entries the log has; a checkpoint keeps it for [`Logger::resume`].
    fn position(&self) -> u64 {
        0
    }

    /// A training goes on after this step, from a checkpoint that was written when the log had this many entries: what a
    /// killed run has logged since comes again.
    ///
    /// # Errors
    /// When that can't be put right.
    fn resume(&mut self, _step: u64, _position: u64) -> Result<()> {
        Ok(())
    }

    /// The training is over, well or not.
    ///
    /// # Errors
    /// When something can't be written.
    fn finish(&mut self, _success: bool) -> Result<()> {
        Ok(())
    }
}

/// What is said of a log that can't be written.
pub(super) const LOST: &str = "what was to be logged is lost";

/// A file that can't be written costs what was to be written, of which `lost` tells, not the training.
pub(super) fn unless_lost(written: Result<()>, lost: &str) -> Result<()> {
    match written {
        Err(e @ Error::File { .. }) => {
            log::error!("{e}; {lost}, the training goes on");
            Ok(())
        }
        other => other,
    }
}

/// Hands numbers to all loggers.
pub(super) fn log_all(loggers: &mut [Box<dyn Logger>], epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
    loggers.iter_mut().try_for_each(|logger| unless_lost(logger.log(epoch, step, values), LOST))
}

/// A JSON object a line: `{"epoch":0,"step":50,"train_loss":0.31}`. Numbers that JSON has not (NaN, infinities) are texts.
pub struct JsonLinesLogger {
    path: PathBuf,
    file: File,
    lines: u64,
}

impl JsonLinesLogger {
    /// Appends to this file; folders are made. A training that goes on from a checkpoint first takes away the lines that
    /// came after it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        make_parent(&path)?;
        let file = append_to(&path)?;
        let text = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(JsonLinesLogger { file, path, lines })
    }
}

fn append_to(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).map_err(|e| Error::file(path, e))
}

impl Logger for JsonLinesLogger {
    fn log(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let mut row = Map::new();
        row.insert("epoch".into(), json!(epoch));
        row.insert("step".into(), json!(step));
        for (name, value) in values {
            row.insert(name.clone(), if value.is_finite() { json!(value) } else { json!(value.to_string()) });
        }
        // One write a line, so that a killed process leaves whole lines.
        let line = format!("{}\n", serde_json::Value::Object(row));
        append(&mut self.file, line.as_bytes()).map_err(|e| Error::file(&self.path, e))?;
        self.lines += 1;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.lines
    }

    fn resume(&mut self, step: u64, position: u64) -> Result<()> {
        let text = std::fs::read_to_string(&self.path).map_err(|e| Error::file(&self.path, e))?;
        let stays = |line: &&str| match serde_json::from_str::<serde_json::Value>(line) {
            Ok(row) => row["step"].as_u64().is_some_and(|at| at <= step),
            Err(error) => {
                log::warn!("{}: a line that can't be read is left out: {error}", self.path.display());
                false
            }
        };
        let first = text.lines().take(usize::try_from(position).unwrap_or(usize::MAX));
        let kept: String = first.filter(stays).flat_map(|line| [line, "\n"]).collect();
        self.lines = kept.lines().count() as u64;
        if kept == text {
            return Ok(());
        }
        crate::io::write_atomically(&self.path, kept.as_bytes())?;
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

/// A table with a column a metric: `epoch,step,train_loss,val_loss`. Columns that come up later are added to all rows,
/// so the file is written anew then; cells of what was not logged in a step are empty.
pub struct CsvLogger {
    path: PathBuf,
    /// Nothing before the first row, when the file is still that of an earlier run.
    columns: Option<Vec<String>>,
    rows: u64,
}

impl CsvLogger {
    /// To this file; folders are made. A new training writes it anew, one that goes on from a checkpoint goes on with the
    /// rows that were there when that was written.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        make_parent(&path)?;
        Ok(CsvLogger { path, columns: None, rows: 0 })
    }

    fn wrong(&self, error: csv::Error) -> Error {
        Error::format(&self.path, error.to_string())
    }

    /// The rows of the file, by column.
    fn rows(&self) -> Result<(Vec<String>, Vec<csv::StringRecord>)> {
        let mut reader = csv::Reader::from_path(&self.path).map_err(|e| self.wrong(e))?;
        let columns = reader.headers().map_err(|e| self.wrong(e))?.iter().map(str::to_string).collect();
        let mut rows = Vec::new();
        for row in reader.records() {
            match row {
                Ok(row) => rows.push(row),
                Err(error) if matches!(error.kind(), csv::ErrorKind::UnequalLengths { .. }) => {
                    log::warn!("{}: a row that was cut off is left out: {error}", self.path.display());
                }
                Err(error) => return Err(self.wrong(error)),
            }
        }
        Ok((columns, rows))
    }

    /// Writes these rows of a table with other columns, under those that it has from now on.
    fn rewrite(&mut self, columns: Vec<String>, rows: &[csv::StringRecord], old: &[String]) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&columns).map_err(|e| self.wrong(e))?;
        let places: Vec<Option<usize>> = columns.iter().map(|name| old.iter().position(|o| o == name)).collect();
        for row in rows {
            let cells = places.iter().map(|place| place.and_then(|i| row.get(i)).unwrap_or_default());
            writer.write_record(cells).map_err(|e| self.wrong(e))?;
        }
        let content = writer.into_inner().map_err(|e| Error::format(&self.path, e.to_string()))?;
        crate::io::write_atomically(&self.path, &content)?;
        self.columns = Some(columns);
        Ok(())
    }

    /// Sees to it that these metrics have columns: after epoch and step, in the order of their names.
    fn prepare(&mut self, values: &[(String, f64)]) -> Result<()> {
        let own = self.columns.as_deref().unwrap_or_default();
        let new = values.iter().map(|(name, _)| name).filter(|name| !own.contains(name));
        let mut names: BTreeSet<String> = new.cloned().collect();
        if self.columns.is_some() && names.is_empty() {
            return Ok(());
        }
        names.extend(own.iter().skip(2).cloned());
        let columns = ["epoch".to_string(), "step".into()].into_iter().chain(names).collect();
        let (old, rows) = if self.columns.is_some() { self.rows()? } else { (Vec::new(), Vec::new()) };
        self.rewrite(columns, &rows, &old)
    }
}

impl Logger for CsvLogger {
    fn log(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        self.prepare(values)?;
        let cell = |column: &String| match column.as_str() {
            "epoch" => epoch.to_string(),
            "step" => step.to_string(),
            name => values.iter().rev().find(|(n, _)| n == name).map_or(String::new(), |(_, value)| value.to_string()),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let columns = self.columns.iter().flatten();
        writer.write_record(columns.map(cell)).map_err(|e| self.wrong(e))?;
        let line = writer.into_inner().map_err(|e| Error::format(&self.path, e.to_string()))?;
        append(&mut append_to(&self.path)?, &line).map_err(|e| Error::file(&self.path, e))?;
        self.rows += 1;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.rows
    }

    fn resume(&mut self, step: u64, position: u64) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let (columns, mut rows) = self.rows()?;
        if columns.get(1).is_none_or(|name| name != "step") {
            return Err(Error::format(
                &self.path,
                "is no table that a training has written: its second column is not `step`",
            ));
        }
        self.columns = Some(columns.clone());
        rows.truncate(usize::try_from(position).unwrap_or(usize::MAX));
        rows.retain(|row| row.get(1).and_then(|cell| cell.parse::<u64>().ok()).is_some_and(|at| at <= step));
        self.rows = rows.len() as u64;
        self.rewrite(columns.clone(), &rows, &columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[(&str, f64)]) -> Vec<(String, f64)> {
        list.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    }

    #[test]
    fn columns_may_come_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/log.csv");
        let mut logger = CsvLogger::new(&path).unwrap();
        logger.log(0, 1, &values(&[("loss", 0.5)])).unwrap();
        logger.log(0, 2, &values(&[("loss", 0.25)])).unwrap();
        logger.log(0, 2, &values(&[("a,b", 7.0)])).unwrap();
        logger.log(1, 3, &values(&[("loss", f64::NAN)])).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "epoch,step,\"a,b\",loss\n0,1,,0.5\n0,2,,0.25\n0,2,7,\n1,3,,NaN\n");

        // A training that goes on keeps the rows up to its step, and not one that was cut off.
        std::fs::write(&path, text + "1,4").unwrap();
        let mut again = CsvLogger::new(&path).unwrap();
        again.resume(2, 3).unwrap();
        again.log(1, 3, &values(&[("new", 1.0)])).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "epoch,step,\"a,b\",loss,new\n0,1,,0.5,\n0,2,,0.25,\n0,2,7,,\n1,3,,,1\n");

        // A new one begins anew.
        CsvLogger::new(&path).unwrap().log(0, 1, &values(&[("loss", 0.5)])).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch,step,loss\n0,1,0.5\n");
    }

    #[test]
    fn a_table_that_can_not_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        std::fs::write(&path, b"epoch,step,loss\n0,1,\xff\n").unwrap();
        let error = CsvLogger::new(&path).unwrap().resume(1, 1).unwrap_err().to_string();
        assert!(error.contains("log.csv") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn lines_are_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        for step in 1..=2 {
            let mut logger = JsonLinesLogger::new(&path).unwrap();
            logger.log(0, step, &values(&[("loss", 0.5), ("bad", f64::INFINITY)])).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().nth(1).unwrap(), r#"{"bad":"inf","epoch":0,"loss":0.5,"step":2}"#);
        // A line that can't be read is left out, wherever it stands.
        std::fs::write(&path, format!("no JSON\n{text}{{\"bad")).unwrap();
        let mut again = JsonLinesLogger::new(&path).unwrap();
        again.resume(1, 9).unwrap();
        again.log(0, 2, &values(&[("loss", 0.5), ("bad", f64::INFINITY)])).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
