//! Mean squared and mean absolute error, over all elements.

use std::sync::{Arc, Mutex};

use super::state::Sum;
use super::{Metric, lock, module, not_a_state, not_updated};
use crate::autograd::no_grad;
use crate::engine::fault::CallerScope;
use crate::tensor::Tensor;
use crate::{Error, Reduction, Result};

#[derive(Debug, Default)]
struct State {
    sum: Sum,
    elements: u64,
    updated: bool,
}

/// What both metrics share.
#[derive(Clone, Debug)]
struct Mean {
    op: &'static str,
    state: Arc<Mutex<State>>,
}

impl Mean {
    fn new(op: &'static str) -> Self {
        Mean { op, state: Arc::default() }
    }

    fn add(&self, preds: &Tensor, target: &Tensor, loss: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        if preds.shape() != target.shape() {
            let detail = format!("predictions of shape {:?} and targets of {:?}", preds.shape(), target.shape());
            return Err(Error::shape(self.op, detail));
        }
        if !preds.dtype().is_float() || !target.dtype().is_float() {
            let detail = format!("takes floats, not {} and {}", preds.dtype(), target.dtype());
            return Err(Error::dtype(self.op, detail));
        }
        let sum = no_grad(loss)?;
        let mut state = lock(&self.state);
        state.sum.add(&sum)?;
        state.elements += preds.numel() as u64;
        state.updated = true;
        Ok(())
    }

    fn compute(&self) -> Result<f64> {
        let state = lock(&self.state);
        if !state.updated {
            return Err(not_updated(self.op));
        }
        Ok(state.sum.read()? / state.elements as f64)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let state = lock(&self.state);
        let mut tensors = state.sum.state()?;
        if let Some(first) = tensors.first() {
            let halves = [(state.elements >> 31) as i32, (state.elements & 0x7fff_ffff) as i32];
            tensors.push(Tensor::try_from_slice_on(&halves, &[2], first.device())?);
        }
        Ok(tensors)
    }

    fn prepend_state(&self, saved: &[Tensor]) -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = lock(&self.state);
        let rest = state.sum.prepend(self.op, saved)?;
        let halves = rest.first().map(Tensor::to_vec::<i32>).transpose()?.unwrap_or_default();
        let [high, low] = halves[..] else { return Err(not_a_state(self.op)) };
        state.elements += ((high as u64) << 31) + low as u64;
        state.updated = true;
        Ok(())
    }
}

/// The mean of `(x − y)²` over all elements, or its root.
///
/// <https://lightning.ai/docs/torchmetrics/stable/regression/mean_squared_error.html>
///
/// ```
/// use lumigrad::metrics::{MeanSquaredError, Metric};
/// use lumigrad::prelude::*;
/// let rmse = MeanSquaredError::new().squared(false);
/// rmse.update(&Tensor::from_slice(&[2.0f32, 5.0], &[2]), &Tensor::from_slice(&[0.0f32, 5.0], &[2]))?;
/// rmse.update(&Tensor::from_slice(&[1.0f32, 5.0], &[2]), &Tensor::from_slice(&[3.0f32, 3.0], &[2]))?;
/// assert!((rmse.compute()? - 3f64.sqrt()).abs() < 1e-6);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MeanSquaredError {
    mean: Mean,
    squared: bool,
}

impl MeanSquaredError {
    /// The mean of the squares.
    pub fn new() -> Self {
        MeanSquaredError { mean: Mean::new("MeanSquaredError"), squared: true }
    }

    /// Whether it is the mean itself (true) or its root.
    pub fn squared(mut self, squared: bool) -> Self {
        self.squared = squared;
        self
    }
}

/// The mean of `|x − y|` over all elements.
///
/// <https://lightning.ai/docs/torchmetrics/stable/regression/mean_absolute_error.html>
#[derive(Clone, Debug)]
pub struct MeanAbsoluteError {
    mean: Mean,
}

impl MeanAbsoluteError {
    /// Of all elements.
    pub fn new() -> Self {
        MeanAbsoluteError { mean: Mean::new("MeanAbsoluteError") }
    }
}

macro_rules! regression {
    ($($name:ident: |$preds:ident, $target:ident| $loss:expr, |$own:ident, $value:ident| $finish:expr;)*) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Metric for $name {
            type Value = f64;

            #[track_caller]
            fn update(&self, $preds: &Tensor, $target: &Tensor) -> Result<()> {
                let _caller = CallerScope::enter();
                self.mean.add($preds, $target, &|| $loss)
            }

            fn compute(&self) -> Result<f64> {
                let ($own, $value) = (self, self.mean.compute()?);
                Ok($finish)
            }

            fn reset(&self) {
                *lock(&self.mean.state) = State::default();
            }

            fn state(&self) -> Result<Vec<Tensor>> {
                self.mean.state()
            }

            fn prepend_state(&self, state: &[Tensor]) -> Result<()> {
                self.mean.prepend_state(state)
            }
        }

        module!($name);
    )*};
}

regression! {
    MeanSquaredError: |preds, target| preds.try_mse_loss_with(target, Reduction::Sum),
        |own, value| if own.squared { value } else { value.sqrt() };
    MeanAbsoluteError: |preds, target| preds.try_l1_loss_with(target, Reduction::Sum), |_own, value| value;
}
