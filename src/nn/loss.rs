//! Losses as modules.

use super::{Buffer, Forward, Module};
use crate::ops::cross_entropy::{CrossEntropyOptions, Reduction};
use crate::tensor::Tensor;

/// Cross-entropy of logits `[N, C, …]` against class numbers `[N, …]`; see [`Tensor::cross_entropy_with`].
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let criterion = nn::CrossEntropyLoss::new();
/// let (logits, labels) = (Tensor::zeros(&[2, 10]), Tensor::from_slice(&[3, 7], &[2]));
/// let loss = criterion.call(&(logits, labels));
/// assert!((loss.item::<f32>()? - 10f32.ln()).abs() < 1e-6);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
pub struct CrossEntropyLoss {
    weight: Option<Buffer>,
    #[module(skip)]
    ignore_index: i64,
    #[module(skip)]
    reduction: Reduction,
    #[module(skip)]
    label_smoothing: f64,
}

impl CrossEntropyLoss {
    /// The mean over the batch.
    pub fn new() -> Self {
        let CrossEntropyOptions { ignore_index, reduction, label_smoothing, .. } = CrossEntropyOptions::default();
        CrossEntropyLoss { weight: None, ignore_index, reduction, label_smoothing }
    }

    /// A factor for each class, `[C]`.
    pub fn weight(mut self, weight: &Tensor) -> Self {
        self.weight = Some(Buffer::new(weight.clone()));
        self
    }

    /// A class number whose samples count for nothing.
    pub fn ignore_index(mut self, class: i64) -> Self {
        self.ignore_index = class;
        self
    }

    /// What becomes of the losses.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// How much of the probability is spread over all classes.
    pub fn label_smoothing(mut self, amount: f64) -> Self {
        self.label_smoothing = amount;
        self
    }

    /// The loss of these logits.
    ///
    /// # Panics
    /// When the shapes do not fit.
    #[track_caller]
    pub fn loss(&self, logits: &Tensor, target: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Buffer::get);
        let options = CrossEntropyOptions {
            weight: weight.as_ref(),
            ignore_index: self.ignore_index,
            reduction: self.reduction,
            label_smoothing: self.label_smoothing,
        };
        logits.cross_entropy_with(target, &options)
    }
}

impl Default for CrossEntropyLoss {
    fn default() -> Self {
        Self::new()
    }
}

impl Forward<(Tensor, Tensor)> for CrossEntropyLoss {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, (logits, target): &(Tensor, Tensor)) -> Tensor {
        self.loss(logits, target)
    }
}
