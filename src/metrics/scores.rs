//! Accuracy, precision, recall and F1 score, from three counts a class: how often it was right, there, and predicted.

use std::sync::{Arc, Mutex};

use super::classes::{Average, Task};
use super::state::Counts;
use super::{Metric, lock, module, not_updated};
use crate::Result;
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::engine::fault::CallerScope;
use crate::tensor::Tensor;

/// What is divided by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ratio {
    Accuracy,
    Precision,
    Recall,
    F1,
}

/// The counts of each class.
pub(super) struct Tally {
    /// Samples of the class for which it was predicted.
    pub right: Vec<f64>,
    /// Samples of the class.
    pub there: Vec<f64>,
    /// Samples for which the class was predicted.
    pub predicted: Vec<f64>,
}

impl Tally {
    fn ratio(ratio: Ratio, right: f64, there: f64, predicted: f64, zero_division: f64) -> f64 {
        let (part, whole) = match ratio {
            Ratio::Accuracy | Ratio::Recall => (right, there),
            Ratio::Precision => (right, predicted),
            Ratio::F1 => (2.0 * right, there + predicted),
        };
        if whole == 0.0 { zero_division } else { part / whole }
    }

    /// One value a class.
    pub fn per_class(&self, ratio: Ratio, zero_division: f64) -> Vec<f64> {
        let classes = self.right.iter().zip(&self.there).zip(&self.predicted);
        classes.map(|((r, t), p)| Self::ratio(ratio, *r, *t, *p, zero_division)).collect()
    }

    /// One value for all classes; a class that occurs nowhere has no weight.
    fn averaged(&self, ratio: Ratio, average: Average, zero_division: f64, top_k: usize) -> f64 {
        let sum = |counts: &[f64]| counts.iter().sum::<f64>();
        if average == Average::Micro {
            return Self::ratio(ratio, sum(&self.right), sum(&self.there), sum(&self.predicted), zero_division);
        }
        let weight = |class: usize| match average {
            Average::Weighted => self.there[class],
            // With k guesses a sample a class that no sample has is never looked for.
            _ if top_k > 1 => f64::from(self.there[class] > 0.0),
            _ => f64::from(self.there[class] + self.predicted[class] > 0.0),
        };
        let values = self.per_class(ratio, zero_division);
        let total: f64 = (0..values.len()).map(weight).sum();
        let weighted: f64 = values.iter().enumerate().map(|(class, value)| weight(class) * value).sum();
        if total == 0.0 { 0.0 } else { weighted / total }
    }
}

/// What the metrics of this page share.
#[derive(Clone, Debug)]
struct Scores {
    op: &'static str,
    ratio: Ratio,
    task: Task,
    average: Average,
    top_k: usize,
    ignore_index: Option<i64>,
    zero_division: f64,
    counts: Arc<Mutex<Counts>>,
}

impl Scores {
    fn new(op: &'static str, ratio: Ratio, task: Task) -> Self {
        let (average, counts) = (Average::Micro, Arc::default());
        Scores { op, ratio, task, average, top_k: 1, ignore_index: None, zero_division: 0.0, counts }
    }

    fn update(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let classes = self.task.prepare(self.op, preds, target, self.ignore_index, self.top_k)?;
        let n = classes.target.numel();
        let (hits, counted) = match &classes.valid {
            Some(valid) => (classes.hits.try_mul(valid)?, valid.clone()),
            None => (classes.hits, Tensor::try_full_on(&[n], 1.0, DType::I32, target.device())?),
        };
        let index = Tensor::try_stack(&[&classes.target, &classes.target, &classes.preds], 0)?;
        let source = Tensor::try_stack(&[&hits, &counted, &counted], 0)?;
        let shape = [3, self.task.classes()];
        lock(&self.counts).add(&shape, target.device(), n, |counts| counts.try_scatter_add(1, &index, &source))
    }

    fn tally(&self) -> Result<Tally> {
        let counts = lock(&self.counts).read()?.ok_or_else(|| not_updated(self.op))?;
        let rows: Vec<Vec<f64>> =
            counts.chunks(self.task.classes()).map(|row| row.iter().map(|&count| count as f64).collect()).collect();
        let [right, there, predicted] = rows.try_into().expect("three rows are counted");
        Ok(Tally { right, there, predicted })
    }

    fn compute(&self) -> Result<f64> {
        let tally = self.tally()?;
        Ok(match (self.task, self.ratio) {
            // Of two classes the second one is meant, but all samples can be right.
            (Task::Binary { .. }, ratio) if ratio != Ratio::Accuracy => tally.per_class(ratio, self.zero_division)[1],
            _ => tally.averaged(self.ratio, self.average, self.zero_division, self.top_k),
        })
    }
}

macro_rules! scores {
    ($($(#[$meta:meta])* $name:ident: $ratio:ident { $($own:item)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name(Scores);

        impl $name {
            /// For this many classes, averaged by [`Average::Micro`].
            ///
            /// Takes scores `[n, classes, …]`, of which the highest counts, or class numbers `[n, …]`; and labels
            /// `[n, …]`.
            ///
            /// # Panics
            /// When there are fewer than two classes.
            #[track_caller]
            pub fn new(classes: usize) -> Self {
                $name(Scores::new(stringify!($name), Ratio::$ratio, Task::multiclass(stringify!($name), classes)))
            }

            /// For two classes by one score, with a threshold of 0.5.
            ///
            /// Takes scores, class numbers and labels `[n, …]`. A batch with a score outside of 0 to 1 is taken for
            /// logits, as in torchmetrics; give `x.sigmoid()` to be sure.
            pub fn binary() -> Self {
                $name(Scores::new(stringify!($name), Ratio::$ratio, Task::Binary { threshold: 0.5 }))
            }

            /// The probability above which a score means the second class.
            ///
            /// # Panics
            /// When there are more than two classes.
            #[track_caller]
            pub fn threshold(mut self, threshold: f64) -> Self {
                let binary = matches!(self.0.task, Task::Binary { .. });
                assert!(binary, "{}: a threshold is for two classes by one score (see `binary`)", self.0.op);
                self.0.task = Task::Binary { threshold };
                self
            }

            /// How the classes become one number.
            pub fn average(mut self, average: Average) -> Self {
                self.0.average = average;
                self
            }

            /// A label whose samples count for nothing.
            pub fn ignore_index(mut self, label: i64) -> Self {
                self.0.ignore_index = Some(label);
                self
            }

            /// The value of each class; of one that does not occur, what [`Self::compute`](Metric::compute) takes for it.
            ///
            /// # Errors
            /// As [`Metric::compute`].
            pub fn per_class(&self) -> Result<Vec<f64>> {
                Ok(self.0.tally()?.per_class(self.0.ratio, self.0.zero_division))
            }

            $($own)*
        }

        impl Metric for $name {
            type Value = f64;

            #[track_caller]
            fn update(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
                let _caller = CallerScope::enter();
                no_grad(|| self.0.update(preds, target))
            }

            fn compute(&self) -> Result<f64> {
                self.0.compute()
            }

            fn reset(&self) {
                *lock(&self.0.counts) = Counts::default();
            }

            fn state(&self) -> Result<Vec<Tensor>> {
                Ok(lock(&self.0.counts).state())
            }

            fn prepend_state(&self, state: &[Tensor]) -> Result<()> {
                lock(&self.0.counts).prepend(self.0.op, &[3, self.0.task.classes()], state)
            }
        }

        module!($name);
    )*};
}

/// A method of those that divide by a count that may be 0.
macro_rules! with_zero_division {
    ($($(#[$meta:meta])* $name:ident: $ratio:ident;)*) => {
        scores! {$(
            $(#[$meta])*
            $name: $ratio {
                /// What 0 of 0 comes to (0).
                pub fn zero_division(mut self, value: f64) -> Self {
                    self.0.zero_division = value;
                    self
                }
            }
        )*}
    };
}

scores! {
    /// The share of samples whose class is predicted. The macro average is that of the classes' own accuracies.
    ///
    /// <https://lightning.ai/docs/torchmetrics/stable/classification/accuracy.html>
    ///
    /// ```
    /// use lumigrad::metrics::{Accuracy, Metric};
    /// use lumigrad::prelude::*;
    /// let logits = Tensor::from_slice(&[0.7f32, 0.2, 0.1, 0.4, 0.5, 0.1], &[2, 3]);
    /// let labels = Tensor::from_slice(&[0, 0], &[2]);
    /// let (first, second) = (Accuracy::new(3), Accuracy::new(3).top_k(2));
    /// first.update(&logits, &labels)?;
    /// second.update(&logits, &labels)?;
    /// assert_eq!((first.compute()?, second.compute()?), (0.5, 1.0));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    Accuracy: Accuracy {
        /// Counts a sample as right when its class is among the `k` with the highest scores.
        ///
        /// # Panics
        /// When there are not that many classes.
        #[track_caller]
        pub fn top_k(mut self, k: usize) -> Self {
            match self.0.task {
                Task::Multiclass { classes } if (1..=classes).contains(&k) => {}
                task => panic!("Accuracy: the best {k} of {} classes", task.classes()),
            }
            self.0.top_k = k;
            self
        }
    }
}

with_zero_division! {
    /// The share of the predictions of a class that are right: `TP / (TP + FP)`.
    ///
    /// <https://lightning.ai/docs/torchmetrics/stable/classification/precision.html>
    Precision: Precision;
    /// The share of the samples of a class for which it is predicted: `TP / (TP + FN)`.
    ///
    /// <https://lightning.ai/docs/torchmetrics/stable/classification/recall.html>
    Recall: Recall;
    /// The harmonic mean of precision and recall: `2·TP / (2·TP + FP + FN)`.
    ///
    /// <https://lightning.ai/docs/torchmetrics/stable/classification/f1_score.html>
    F1Score: F1;
}
