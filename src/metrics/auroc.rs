//! The area under the ROC curve, exact: the chance that a sample of the class has a higher score than one of another.

use std::sync::{Arc, Mutex};

use super::classes::{Average, probabilities};
use super::{Metric, lock, module, not_a_state, not_updated};
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::engine::fault::CallerScope;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The area under the receiver operating characteristic, of two classes or of each class against all others.
///
/// It is the share of pairs of a sample of the class and one of another in which the first has the higher score, equal
/// scores counting half: `(Σ ranks − p(p+1)/2) / (p·n)` with mean ranks for ties. A class of which there are no samples, or
/// only samples, has 0, as in torchmetrics.
///
/// All scores are kept until [`Metric::reset`], 4 bytes each on the device, and sorted on the host.
///
/// <https://lightning.ai/docs/torchmetrics/stable/classification/auroc.html>
///
/// ```
/// use lumigrad::metrics::{Auroc, Metric};
/// use lumigrad::prelude::*;
/// let auroc = Auroc::binary();
/// auroc.update(&Tensor::from_slice(&[0.1f32, 0.4, 0.35, 0.8], &[4]), &Tensor::from_slice(&[0, 0, 1, 1], &[4]))?;
/// assert_eq!(auroc.compute()?, 0.75);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Auroc {
    /// Scores of a sample: one for two classes.
    scores: usize,
    average: Average,
    ignore_index: Option<i64>,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// Scores `[n, scores]` and labels `[n]` of `2^level` batches.
#[derive(Clone, Debug)]
struct Kept {
    level: u32,
    scores: Tensor,
    labels: Tensor,
}

const OP: &str = "Auroc";
/// Scores up to which what is kept is joined, so that many small batches are few tensors, and none is too large.
const JOINED: usize = 1 << 22;

impl Auroc {
    /// Of each class against all others, with the mean over the classes as value. Takes scores `[n, classes, …]`,
    /// probabilities or logits, and labels `[n, …]`.
    ///
    /// # Panics
    /// When there are fewer than two classes.
    #[track_caller]
    pub fn new(classes: usize) -> Self {
        assert!(classes >= 2, "{OP}: {classes} classes, expected 2 or more (see `binary`)");
        Auroc { scores: classes, average: Average::Macro, ignore_index: None, kept: Arc::default() }
    }

    /// Of two classes by one score. Takes scores and labels `[n, …]`.
    ///
    /// As in torchmetrics a batch with a score outside of 0 to 1 is taken for logits; give `x.sigmoid()` where some
    /// batches of logits might lie within.
    pub fn binary() -> Self {
        Auroc { scores: 1, average: Average::Macro, ignore_index: None, kept: Arc::default() }
    }

    /// How the classes become one number: [`Average::Macro`] or [`Average::Weighted`].
    ///
    /// # Panics
    /// With [`Average::Micro`].
    #[track_caller]
    pub fn average(mut self, average: Average) -> Self {
        assert!(average != Average::Micro, "{OP}: expected Average::Macro or Average::Weighted");
        self.average = average;
        self
    }

    /// A label whose samples count for nothing.
    pub fn ignore_index(mut self, label: i64) -> Self {
        self.ignore_index = Some(label);
        self
    }

    /// The area for each class; for two classes by one score that of the second.
    ///
    /// # Errors
    /// As [`Metric::compute`].
    pub fn per_class(&self) -> Result<Vec<f64>> {
        Ok(self.areas()?.into_iter().map(|(area, _)| area).collect())
    }

    fn add(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let given = || format!("scores of shape {:?} and labels of {:?}", preds.shape(), target.shape());
        if !preds.dtype().is_float() || !matches!(target.dtype(), DType::I32 | DType::U32 | DType::Bool) {
            let detail = format!("takes scores in f32 and labels in i32, not {} and {}", preds.dtype(), target.dtype());
            return Err(Error::dtype(OP, detail));
        }
        let scores = if self.scores == 1 {
            if preds.shape() != target.shape() {
                return Err(Error::shape(OP, format!("{}; two classes take one score for each label", given())));
            }
            probabilities(preds, &|x| x.try_sigmoid())?.try_reshape([-1, 1])?
        } else {
            let mut expected = preds.shape().to_vec();
            let found = (expected.len() > 1).then(|| expected.remove(1));
            if found != Some(self.scores) || expected != target.shape() {
                let hint = format!("expected scores [samples, {}, …] and labels [samples, …]", self.scores);
                return Err(Error::shape(OP, format!("{}; {hint}", given())));
            }
            let rows = preds.try_movedim(&[1], &[-1])?.try_reshape([-1, self.scores as i64])?;
            probabilities(&rows, &|x| x.try_softmax(1))?
        };
        let labels = target.try_to_dtype(DType::I32)?.try_reshape([-1])?;
        // The caller may write into what it gave.
        let kept = |t: Tensor, from: &Tensor| if t.shares_storage(from) { t.try_copy() } else { Ok(t) };
        let mut new = Kept { level: 0, scores: kept(scores.detach(), preds)?, labels: kept(labels, target)? };
        let mut all = lock(&self.kept);
        let mut whole = all.len();
        while let Some(last) = whole.checked_sub(1).map(|i| &all[i])
            && last.level == new.level
            && last.scores.numel() + new.scores.numel() <= JOINED
        {
            let scores = Tensor::try_cat(&[&last.scores, &new.scores], 0)?;
            let labels = Tensor::try_cat(&[&last.labels, &new.labels], 0)?;
            new = Kept { level: new.level + 1, scores, labels };
            whole -= 1;
        }
        all.truncate(whole);
        all.push(new);
        Ok(())
    }

    /// The area of each class, and how many samples it has.
    fn areas(&self) -> Result<Vec<(f64, f64)>> {
        let all = lock(&self.kept).clone();
        if all.is_empty() {
            return Err(not_updated(OP));
        }
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for kept in &all {
            scores.extend(kept.scores.to_vec::<f32>()?);
            labels.extend(kept.labels.to_vec::<i32>()?);
        }
        let classes = self.scores.max(2) as i64;
        let counts = |label: i32| Some(i64::from(label)) != self.ignore_index;
        if let Some(bad) = labels.iter().find(|&&label| counts(label) && !(0..classes).contains(&i64::from(label))) {
            return Err(Error::argument(
                OP,
                format!("the label {bad} is out of range (expected 0 to {})", classes - 1),
            ));
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(Error::argument(OP, "a score is NaN"));
        }
        let area = |class: usize| {
            let truth = if self.scores == 1 { 1 } else { class as i32 };
            let own = scores.iter().skip(class).step_by(self.scores);
            let pairs = own.zip(&labels).filter(|(_, label)| counts(**label));
            area(pairs.map(|(score, label)| (*score, *label == truth)).collect())
        };
        Ok((0..self.scores).map(area).collect())
    }
}

/// The area under the curve of these scores, and how many samples are of the class.
fn area(mut samples: Vec<(f32, bool)>) -> (f64, f64) {
    samples.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the number of pairs in the right order, a tie counting one: a whole number.
    let (mut below, mut twice, mut positive) = (0u128, 0u128, 0u128);
    // -0 and 0 are equal, though not in the order that they are sorted by.
    for ties in samples.chunk_by(|a, b| a.0 == b.0) {
        let own = ties.iter().filter(|(_, own)| *own).count() as u128;
        let others = ties.len() as u128 - own;
        twice += own * (2 * below + others);
        below += others;
        positive += own;
    }
    let pairs = 2 * below * positive;
    (if pairs == 0 { 0.0 } else { twice as f64 / pairs as f64 }, positive as f64)
}

impl Metric for Auroc {
    type Value = f64;

    #[track_caller]
    fn update(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let _caller = CallerScope::enter();
        no_grad(|| self.add(preds, target))
    }

    fn compute(&self) -> Result<f64> {
        let areas = self.areas()?;
        let weight = |samples: f64| if self.average == Average::Weighted && areas.len() > 1 { samples } else { 1.0 };
        let total: f64 = areas.iter().map(|(_, samples)| weight(*samples)).sum();
        let weighted: f64 = areas.iter().map(|(area, samples)| area * weight(*samples)).sum();
        Ok(if total == 0.0 { 0.0 } else { weighted / total })
    }

    fn reset(&self) {
        lock(&self.kept).clear();
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(lock(&self.kept).iter().flat_map(|kept| [kept.scores.clone(), kept.labels.clone()]).collect())
    }

    fn prepend_state(&self, state: &[Tensor]) -> Result<()> {
        let pair = |pair: &[Tensor]| match pair {
            [scores, labels] if scores.shape() == [labels.numel(), self.scores] && labels.dtype() == DType::I32 => {
                // Of a level of its own: it is not joined with what comes.
                Ok(Kept { level: u32::MAX, scores: scores.clone(), labels: labels.clone() })
            }
            _ => Err(not_a_state(OP)),
        };
        let saved: Vec<Kept> = state.chunks(2).map(pair).collect::<Result<_>>()?;
        lock(&self.kept).splice(0..0, saved);
        Ok(())
    }
}

module!(Auroc);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn many_batches_are_few_tensors() {
        Device::reference().scope(|| {
            let (small, whole) = (Auroc::binary(), Auroc::binary());
            let scores: Vec<f32> = (0..100).map(|i| (i * 37 % 64) as f32 / 64.0).collect();
            let labels: Vec<i32> = (0..100).map(|i| i * 7 % 3 % 2).collect();
            for i in 0..100 {
                let batch = (Tensor::from_slice(&scores[i..=i], &[1]), Tensor::from_slice(&labels[i..=i], &[1]));
                small.update(&batch.0, &batch.1).unwrap();
            }
            whole.update(&Tensor::from_slice(&scores, &[100]), &Tensor::from_slice(&labels, &[100])).unwrap();
            assert_eq!(lock(&small.kept).len(), 3, "64, 32 and 4 batches");
            assert_eq!(small.compute().unwrap(), whole.compute().unwrap());
            let resumed = Auroc::binary();
            resumed.prepend_state(&small.state().unwrap()).unwrap();
            assert_eq!(resumed.compute().unwrap(), whole.compute().unwrap());
            assert!(Auroc::new(3).prepend_state(&small.state().unwrap()).is_err());
        });
    }
}
