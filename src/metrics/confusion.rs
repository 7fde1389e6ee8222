//! The confusion matrix: how often each class was taken for each.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::classes::Task;
use super::scores::{Ratio, Tally};
use super::state::Counts;
use super::{Metric, lock, module, not_updated};
use crate::Result;
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::engine::fault::CallerScope;
use crate::tensor::Tensor;

/// How often each class was predicted for the samples of each class.
///
/// <https://lightning.ai/docs/torchmetrics/stable/classification/confusion_matrix.html>
///
/// ```
/// use lumigrad::metrics::{ConfusionMatrix, Metric, Normalize};
/// use lumigrad::prelude::*;
/// let matrix = ConfusionMatrix::new(3);
/// matrix.update(&Tensor::from_slice(&[0, 1, 1, 2], &[4]), &Tensor::from_slice(&[0, 1, 2, 2], &[4]))?;
/// let confusion = matrix.compute()?;
/// assert_eq!(confusion.rows(), [[1, 0, 0], [0, 1, 0], [0, 1, 1]]);
/// assert_eq!(confusion.normalized(Normalize::True)[2], [0.0, 0.5, 0.5]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfusionMatrix {
    task: Task,
    ignore_index: Option<i64>,
    counts: Arc<Mutex<Counts>>,
}

const OP: &str = "ConfusionMatrix";

impl ConfusionMatrix {
    /// For this many classes. Takes scores `[n, classes, …]` or class numbers `[n, …]`, and labels `[n, …]`.
    ///
    /// # Panics
    /// When there are fewer than two classes.
    #[track_caller]
    pub fn new(classes: usize) -> Self {
        ConfusionMatrix { task: Task::multiclass(OP, classes), ignore_index: None, counts: Arc::default() }
    }

    /// For two classes by one score, with a threshold of 0.5; see [`Accuracy::binary`](super::Accuracy::binary).
    pub fn binary() -> Self {
        ConfusionMatrix { task: Task::Binary { threshold: 0.5 }, ignore_index: None, counts: Arc::default() }
    }

    /// The probability above which a score means the second class.
    ///
    /// # Panics
    /// When there are more than two classes.
    #[track_caller]
    pub fn threshold(mut self, threshold: f64) -> Self {
        let binary = matches!(self.task, Task::Binary { .. });
        assert!(binary, "{OP}: a threshold is for two classes by one score (see `binary`)");
        self.task = Task::Binary { threshold };
        self
    }

    /// A label whose samples count for nothing.
    pub fn ignore_index(mut self, label: i64) -> Self {
        self.ignore_index = Some(label);
        self
    }

    fn add(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let classes = self.task.classes();
        let taken = self.task.prepare(OP, preds, target, self.ignore_index, 1)?;
        let (n, device) = (taken.target.numel(), target.device());
        if n > 0 {
            // A place in the matrix says little of a bad label, and may hide one; so they are looked at before.
            let both = Tensor::try_cat(&[&taken.target, &taken.preds], 0)?;
            Tensor::try_full_on(&[classes], 0.0, DType::I32, device)?.try_gather(0, &both)?;
        }
        let place = taken.target.try_mul_scalar(classes as f64)?.try_add(&taken.preds)?;
        let counted = match taken.valid {
            Some(valid) => valid,
            None => Tensor::try_full_on(&[n], 1.0, DType::I32, device)?,
        };
        let add = |counts: &Tensor| counts.try_scatter_add(0, &place, &counted);
        lock(&self.counts).add(&[classes * classes], device, n, add)
    }
}

impl Metric for ConfusionMatrix {
    type Value = Confusion;

    #[track_caller]
    fn update(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let _caller = CallerScope::enter();
        no_grad(|| self.add(preds, target))
    }

    fn compute(&self) -> Result<Confusion> {
        let counts = lock(&self.counts).read()?.ok_or_else(|| not_updated(OP))?;
        Ok(Confusion { classes: self.task.classes(), counts })
    }

    fn reset(&self) {
        *lock(&self.counts) = Counts::default();
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(lock(&self.counts).state())
    }

    fn prepend_state(&self, state: &[Tensor]) -> Result<()> {
        let classes = self.task.classes();
        lock(&self.counts).prepend(OP, &[classes * classes], state)
    }
}

module!(ConfusionMatrix);

/// What the counts of a confusion matrix are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// The samples of the true class: rows add up to 1.
    True,
    /// The samples of the predicted class: columns add up to 1.
    Pred,
    /// All samples.
    All,
}

/// The counts of a [`ConfusionMatrix`]: a row for each true class, a column for each predicted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts that came from elsewhere, row by row.
    ///
    /// # Panics
    /// When the rows are not as many as their elements.
    #[track_caller]
    pub fn from_rows(rows: &[Vec<u64>]) -> Self {
        let classes = rows.len();
        assert!(rows.iter().all(|row| row.len() == classes), "Confusion: {classes} rows must have {classes} elements");
        Confusion { classes, counts: rows.concat() }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many samples of the class `truth` were taken for `predicted`.
    ///
    /// # Panics
    /// When there is no such class.
    #[track_caller]
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        assert!(truth < self.classes && predicted < self.classes, "Confusion: there are {} classes", self.classes);
        self.counts[truth * self.classes + predicted]
    }

    /// The counts, a row for each true class.
    pub fn rows(&self) -> Vec<&[u64]> {
        self.counts.chunks(self.classes).collect()
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The counts as shares; 0 where there are no samples.
    pub fn normalized(&self, by: Normalize) -> Vec<Vec<f64>> {
        let tally = self.tally();
        let (rows, total) = (self.rows(), self.total() as f64);
        let share = |truth: usize, predicted: usize| {
            let whole = match by {
                Normalize::True => tally.there[truth],
                Normalize::Pred => tally.predicted[predicted],
                Normalize::All => total,
            };
            if whole == 0.0 { 0.0 } else { rows[truth][predicted] as f64 / whole }
        };
        (0..self.classes).map(|t| (0..self.classes).map(|p| share(t, p)).collect()).collect()
    }

    /// The share of samples that are right.
    pub fn accuracy(&self) -> f64 {
        let right: f64 = self.tally().right.iter().sum();
        if self.total() == 0 { 0.0 } else { right / self.total() as f64 }
    }

    /// The precision of each class; 0 where it was never predicted.
    pub fn precision(&self) -> Vec<f64> {
        self.tally().per_class(Ratio::Precision, 0.0)
    }

    /// The recall of each class; 0 where it has no samples.
    pub fn recall(&self) -> Vec<f64> {
        self.tally().per_class(Ratio::Recall, 0.0)
    }

    /// The F1 score of each class.
    pub fn f1(&self) -> Vec<f64> {
        self.tally().per_class(Ratio::F1, 0.0)
    }

    fn tally(&self) -> Tally {
        let rows = self.rows();
        let all = 0..self.classes;
        Tally {
            right: all.clone().map(|c| rows[c][c] as f64).collect(),
            there: rows.iter().map(|row| row.iter().sum::<u64>() as f64).collect(),
            predicted: all.map(|c| rows.iter().map(|row| row[c]).sum::<u64>() as f64).collect(),
        }
    }
}

/// The counts in aligned columns.
impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.counts.iter().max().map_or(1, |most| most.to_string().len());
        for (i, row) in self.rows().iter().enumerate() {
            let line: Vec<String> = row.iter().map(|count| format!("{count:width$}")).collect();
            write!(f, "{}{}", if i > 0 { "\n" } else { "" }, line.join(" "))?;
        }
        Ok(())
    }
}
