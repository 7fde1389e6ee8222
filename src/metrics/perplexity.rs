//! Perplexity: `exp` of the mean negative log-likelihood of the true classes.

use std::sync::{Arc, Mutex};

use super::state::{Counts, Sum};
use super::{Metric, lock, module, not_updated};
use crate::autograd::no_grad;
use crate::engine::fault::CallerScope;
use crate::tensor::Tensor;
use crate::{CrossEntropyOptions, Error, Reduction, Result};

/// How many words a language model wavers between: `exp` of the mean of `−log p` over all true tokens.
///
/// Takes logits `[…, vocabulary]` and labels `[…]`, as in `[batch, length, vocabulary]`.
///
/// <https://lightning.ai/docs/torchmetrics/stable/text/perplexity.html>
///
/// ```
/// use lumigrad::metrics::{Metric, Perplexity};
/// use lumigrad::prelude::*;
/// let perplexity = Perplexity::new().ignore_index(-100);
/// // It knows nothing of four words.
/// perplexity.update(&Tensor::zeros(&[1, 3, 4]), &Tensor::from_slice(&[0, 3, -100], &[1, 3]))?;
/// assert!((perplexity.compute()? - 4.0).abs() < 1e-6);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Perplexity {
    ignore_index: Option<i64>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    nats: Sum,
    tokens: Counts,
}

const OP: &str = "Perplexity";

impl Perplexity {
    /// Of all tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// A label whose tokens count for nothing, such as that of padding.
    pub fn ignore_index(mut self, label: i64) -> Self {
        self.ignore_index = Some(label);
        self
    }

    fn add(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let (shape, labels) = (preds.shape(), target.shape());
        if shape.is_empty() || shape[..shape.len() - 1] != *labels {
            let detail = format!("logits of shape {shape:?} and labels of {labels:?}, expected [.., words] and [..]");
            return Err(Error::shape(OP, detail));
        }
        let logits = preds.try_reshape([-1, shape[shape.len() - 1] as i64])?;
        let target = target.try_reshape([-1])?;
        // No label is the smallest number.
        let ignore_index = self.ignore_index.unwrap_or(i64::from(i32::MIN));
        // Checks the labels' type too.
        let options = CrossEntropyOptions { ignore_index, reduction: Reduction::Sum, ..Default::default() };
        let nats = logits.try_cross_entropy_with(&target, &options)?;
        let counted = target.try_ne_scalar(ignore_index as f64)?.try_sum()?.try_reshape([1usize])?;
        let mut state = lock(&self.state);
        state.tokens.add(&[1], target.device(), target.numel(), |counts| counts.try_add(&counted))?;
        state.nats.add(&nats)
    }
}

impl Metric for Perplexity {
    type Value = f64;

    #[track_caller]
    fn update(&self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let _caller = CallerScope::enter();
        no_grad(|| self.add(preds, target))
    }

    fn compute(&self) -> Result<f64> {
        let state = lock(&self.state);
        let tokens = state.tokens.read()?.ok_or_else(|| not_updated(OP))?[0];
        Ok((state.nats.read()? / tokens as f64).exp())
    }

    fn reset(&self) {
        *lock(&self.state) = State::default();
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let state = lock(&self.state);
        let (counts, sums) = (state.tokens.state(), state.nats.state()?);
        Ok(sums.into_iter().chain(counts).collect())
    }

    fn prepend_state(&self, saved: &[Tensor]) -> Result<()> {
        let mut state = lock(&self.state);
        let counts = state.nats.prepend(OP, saved)?;
        state.tokens.prepend(OP, &[1], counts)
    }
}

module!(Perplexity);
