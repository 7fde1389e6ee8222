//! Predicted and true classes, in whatever form they are given.

use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// How the numbers of the classes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// All samples count the same: the counts of the classes are added first.
    #[default]
    Micro,
    /// All classes count the same. One that occurs neither among the labels nor among the predictions is left out.
    Macro,
    /// Each class counts by how many samples it has.
    Weighted,
}

/// What there is to tell apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// Two classes by one score.
    Binary { threshold: f64 },
    /// As many classes as scores.
    Multiclass { classes: usize },
}

/// Class numbers in rows, without those that are ignored.
pub(super) struct Classes {
    /// The predicted class, `[n]`.
    pub preds: Tensor,
    /// The true class, `[n]`; 0 where it is ignored.
    pub target: Tensor,
    /// 1 for each sample that counts and 0 for one that does not, `[n]`; nothing when all do.
    pub valid: Option<Tensor>,
    /// 1 for each sample whose class is among the best k, `[n]`.
    pub hits: Tensor,
}

impl Task {
    #[track_caller]
    pub fn multiclass(op: &'static str, classes: usize) -> Self {
        assert!(classes >= 2, "{op}: {classes} classes, expected 2 or more (see `binary`)");
        Task::Multiclass { classes }
    }

    pub fn classes(self) -> usize {
        match self {
            Task::Binary { .. } => 2,
            Task::Multiclass { classes } => classes,
        }
    }

    /// Checks shapes and types: scores `[n, classes, …]` or class numbers `[n, …]` with labels `[n, …]`.
    fn check(self, op: &'static str, preds: &Tensor, target: &Tensor, top_k: usize) -> Result<()> {
        let labels = matches!(target.dtype(), DType::I32 | DType::U32 | DType::Bool);
        if !labels {
            return Err(Error::dtype(op, format!("labels are whole numbers, not {}", target.dtype())));
        }
        let given = || format!("predictions of shape {:?} and labels of {:?}", preds.shape(), target.shape());
        let scores = preds.dtype().is_float();
        match self {
            Task::Binary { .. } if preds.shape() != target.shape() => {
                Err(Error::shape(op, format!("{}; two classes take one score for each label", given())))
            }
            Task::Multiclass { classes } if scores => {
                let mut expected = preds.shape().to_vec();
                let found = (expected.len() > 1).then(|| expected.remove(1));
                if found == Some(classes) && expected == target.shape() {
                    return Ok(());
                }
                let hint = format!("expected scores [samples, {classes}, …] and labels [samples, …]");
                Err(Error::shape(op, format!("{}; {hint}", given())))
            }
            Task::Multiclass { .. } if preds.shape() != target.shape() => {
                Err(Error::shape(op, format!("{}; class numbers take a label each", given())))
            }
            _ if !scores && top_k > 1 => Err(Error::dtype(op, "top_k takes scores, not class numbers")),
            _ => Ok(()),
        }
    }

    /// Brings predictions and labels to class numbers.
    pub fn prepare(
        self,
        op: &'static str,
        preds: &Tensor,
        target: &Tensor,
        ignore_index: Option<i64>,
        top_k: usize,
    ) -> Result<Classes> {
        self.check(op, preds, target, top_k)?;
        let target = target.try_to_dtype(DType::I32)?.try_reshape([-1])?;
        let (target, valid) = match ignore_index {
            None => (target, None),
            Some(ignored) => {
                let counts = target.try_ne_scalar(ignored as f64)?;
                (counts.try_where_(&target, 0)?, Some(counts.try_to_dtype(DType::I32)?))
            }
        };
        let (preds, hits) = match self {
            Task::Binary { threshold } => {
                let preds = match preds.dtype().is_float() {
                    true => probabilities(preds, &|x| x.try_sigmoid())?.try_gt_scalar(threshold)?,
                    false => preds.clone(),
                };
                let preds = preds.try_to_dtype(DType::I32)?.try_reshape([-1])?;
                let hits = preds.try_eq(&target)?;
                (preds, hits)
            }
            Task::Multiclass { classes } if preds.dtype().is_float() => {
                // Samples and what is around them side by side: [n, classes].
                let scores = preds.try_movedim(&[1], &[-1])?.try_reshape([-1, classes as i64])?;
                let best = scores.try_argmax(Some(1), false)?;
                let hits = if top_k == 1 {
                    best.try_eq(&target)?
                } else {
                    let (_, top) = scores.try_topk(top_k, 1, true)?;
                    top.try_eq(&target.try_unsqueeze(1)?)?.try_to_dtype(DType::I32)?.try_sum_dims(&[1], false)?
                };
                (best, hits)
            }
            Task::Multiclass { .. } => {
                let preds = preds.try_to_dtype(DType::I32)?.try_reshape([-1])?;
                let hits = preds.try_eq(&target)?;
                (preds, hits)
            }
        };
        Ok(Classes { preds, target, valid, hits: hits.try_to_dtype(DType::I32)? })
    }
}

/// The scores themselves when all lie between 0 and 1; otherwise they are logits, and go through `normalise`.
pub(super) fn probabilities(scores: &Tensor, normalise: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if scores.numel() == 0 {
        return Ok(scores.clone());
    }
    let outside = scores.try_min()?.try_lt_scalar(0.0)?.try_logical_or(&scores.try_max()?.try_gt_scalar(1.0)?)?;
    outside.try_where_(&normalise(scores)?, scores)
}
