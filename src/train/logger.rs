//! Where logged numbers go.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, json};

use super::HParams;
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

    /// A training goes on after this step: what a killed run has logged of later ones comes again.
    ///
    /// # Errors
    /// When that can't be put right.
    fn resume(&mut self, _step: u64) -> Result<()> {
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

/// A file that can't be written costs what was to be written, not the training.
pub(super) fn or_lost(logged: Result<()>) -> Result<()> {
    match logged {
        Err(e @ Error::File { .. }) => {
            log::error!("{e}; what was to be logged is lost, the training goes on");
            Ok(())
        }
        other => other,
    }
}

/// Writes to the end of a file, all or nothing.
fn append(file: &mut File, content: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(content).inspect_err(|_| {
        // On a full disk, a part of it may be there.
        let _ = file.set_len(before);
    })
}

/// A JSON object a line: `{"epoch":0,"step":50,"train_loss":0.31}`. Numbers that JSON has not (NaN, infinities) are texts.
pub struct JsonLinesLogger {
    path: PathBuf,
    file: File,
}

impl JsonLinesLogger {
    /// Appends to this file; folders are made.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
        }
        let file = File::options().create(true).append(true).open(&path).map_err(|e| Error::file(&path, e))?;
        Ok(JsonLinesLogger { path, file })
    }
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
        append(&mut self.file, line.as_bytes()).map_err(|e| Error::file(&self.path, e))
    }
}

/// A table with a column a metric: `epoch,step,train_loss,val_loss`. Columns that come up later are added to all rows,
/// so the file is written anew then; cells of what was not logged in a step are empty.
pub struct CsvLogger {
    path: PathBuf,
    columns: BTreeSet<String>,
    rows: Vec<Row>,
    /// Rows that are in the file, with all columns; 0 when it has to be written anew.
    written: usize,
}

/// Epoch, step, and what was logged.
type Row = (u64, u64, Vec<(String, f64)>);

impl CsvLogger {
    /// To this file, which is written anew; folders are made.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
        }
        let mut logger = CsvLogger { path, columns: BTreeSet::new(), rows: Vec::new(), written: 0 };
        logger.rewrite()?;
        Ok(logger)
    }

    fn line(&self, (epoch, step, values): &Row) -> Vec<String> {
        let cell = |column: &String| {
            let value = values.iter().rev().find(|(name, _)| name == column);
            value.map_or(String::new(), |(_, value)| value.to_string())
        };
        [epoch.to_string(), step.to_string()].into_iter().chain(self.columns.iter().map(cell)).collect()
    }

    fn rewrite(&mut self) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = ["epoch".to_string(), "step".into()].into_iter().chain(self.columns.iter().cloned());
        let wrong = |e: csv::Error| Error::format(&self.path, e.to_string());
        writer.write_record(header).map_err(wrong)?;
        for row in &self.rows {
            writer.write_record(self.line(row)).map_err(wrong)?;
        }
        let content = writer.into_inner().map_err(|e| Error::format(&self.path, e.to_string()))?;
        crate::io::write_atomically(&self.path, &content)?;
        self.written = self.rows.len();
        Ok(())
    }

    fn append(&mut self) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.rows[self.written..] {
            writer.write_record(self.line(row)).map_err(|e| Error::format(&self.path, e.to_string()))?;
        }
        let content = writer.into_inner().map_err(|e| Error::format(&self.path, e.to_string()))?;
        let file = File::options().append(true).open(&self.path);
        file.and_then(|mut file| append(&mut file, &content)).map_err(|e| Error::file(&self.path, e))?;
        self.written = self.rows.len();
        Ok(())
    }
}

impl Logger for CsvLogger {
    fn log(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let known = self.columns.len();
        self.columns.extend(values.iter().map(|(name, _)| name.clone()));
        self.rows.push((epoch, step, values.to_vec()));
        if self.columns.len() > known {
            self.written = 0;
        }
        if self.written == 0 { self.rewrite() } else { self.append() }
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
    }
}
