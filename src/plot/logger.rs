//! A logger that draws.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Chart, curves};
use crate::Result;
use crate::train::Logger;

/// Draws everything that a training logs, over its steps, when it is over.
///
/// What differs by `train_`, `val_`, `test_`, `_step` and `_epoch` only shares a panel: `train_loss`, `train_loss_epoch`
/// and `val_loss` are lines of the panel `loss`.
///
/// ```
/// use lumigrad::plot::Curves;
/// use lumigrad::train::{Logger, Trainer};
/// # let dir = std::env::temp_dir().join("lumigrad-curves-doc");
/// # let out = dir.join("curves.svg");
/// let trainer = Trainer::new().logger(Curves::new(&out));
/// # let mut curves = Curves::new(&out);
/// # curves.log(0, 1, &[("val_loss".into(), 0.5)])?;
/// # curves.finish(true)?;
/// # assert!(std::fs::read_to_string(&out).unwrap().contains("val_loss"));
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Curves {
    path: PathBuf,
    series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Curves {
    /// To this SVG file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Curves { path: path.as_ref().to_path_buf(), series: BTreeMap::new() }
    }

    /// A chart for each quantity, losses first.
    pub fn charts(&self) -> Vec<Chart> {
        let mut panels: BTreeMap<(bool, &str), Vec<&String>> = BTreeMap::new();
        for name in self.series.keys() {
            let quantity = quantity(name);
            panels.entry((!quantity.contains("loss"), quantity)).or_default().push(name);
        }
        let chart = |((_, quantity), names): (&(bool, &str), &Vec<&String>)| {
            let empty = Chart::new(quantity).x_label("step");
            names.iter().fold(empty, |chart, &name| chart.line(name, self.series[name].iter().copied()))
        };
        panels.iter().map(chart).collect()
    }
}

/// What a name is about.
fn quantity(name: &str) -> &str {
    let start = ["train_", "val_", "test_", "train/", "val/", "test/"].iter().find_map(|p| name.strip_prefix(p));
    let rest = start.unwrap_or(name);
    let end = ["_step", "_epoch"].iter().find_map(|s| rest.strip_suffix(s)).unwrap_or(rest);
    if end.is_empty() { name } else { end }
}

impl Logger for Curves {
    fn log(&mut self, _epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        for (name, value) in values {
            self.series.entry(name.clone()).or_default().push((step as f64, *value));
        }
        Ok(())
    }

    fn resume(&mut self, step: u64, _position: u64) -> Result<()> {
        self.series.values_mut().for_each(|points| points.retain(|(at, _)| *at <= step as f64));
        Ok(())
    }

    fn finish(&mut self, _success: bool) -> Result<()> {
        if self.series.is_empty() { Ok(()) } else { curves(&self.charts(), &self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_quantity_share_a_panel() {
        for name in ["loss", "train_loss", "val_loss", "train_loss_epoch", "loss_step", "val/loss"] {
            assert_eq!(quantity(name), "loss");
        }
        assert_eq!((quantity("lr-0"), quantity("train_"), quantity("val_f1")), ("lr-0", "train_", "f1"));
    }
}
