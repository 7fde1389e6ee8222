//! Schedules that multiply the rate that a group has.

use serde_json::{Map, Value as Json};

use super::state::state;
use super::{Epoch, Schedule};

/// The state of a schedule: what `state!` gave it.
macro_rules! stored {
    () => {
        fn state(&self) -> Map<String, Json> {
            self.save()
        }

        fn load(&mut self, state: &Map<String, Json>, commit: bool) -> Result<(), String> {
            self.read(state, commit)
        }
    };
}
pub(super) use stored;

/// Multiplies the rates by `gamma` every `step_size` epochs.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html>
#[derive(Clone, Debug)]
pub struct StepLR {
    step_size: i64,
    gamma: f64,
}

impl StepLR {
    /// Every so many epochs, by 0.1.
    ///
    /// # Panics
    /// When `step_size` is 0.
    #[track_caller]
    pub fn new(step_size: usize) -> StepLR {
        assert!(step_size > 0, "StepLR: step_size must not be 0");
        StepLR { step_size: step_size as i64, gamma: 0.1 }
    }

    /// The factor (0.1).
    pub fn gamma(self, gamma: f64) -> StepLR {
        StepLR { gamma, ..self }
    }

    state!(save, read; "step_size" => step_size, "gamma" => gamma);
}

impl Schedule for StepLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.epoch == 0 || at.epoch % self.step_size != 0 { at.same() } else { at.times(self.gamma) }
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        at.base_lrs.to_vec()
    }

    stored!();
}

/// Multiplies the rates by `gamma` at each of some epochs.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiStepLR.html>
#[derive(Clone, Debug)]
pub struct MultiStepLR {
    milestones: Vec<i64>,
    gamma: f64,
}

impl MultiStepLR {
    /// At these epochs, by 0.1; one that is named twice counts twice.
    pub fn new(milestones: impl IntoIterator<Item = usize>) -> MultiStepLR {
        MultiStepLR { milestones: milestones.into_iter().map(|m| m as i64).collect(), gamma: 0.1 }
    }

    /// The factor (0.1).
    pub fn gamma(self, gamma: f64) -> MultiStepLR {
        MultiStepLR { gamma, ..self }
    }

    state!(save, read; "milestones" => milestones, "gamma" => gamma);
}

impl Schedule for MultiStepLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        match self.milestones.iter().filter(|&&m| m == at.epoch).count() {
            0 => at.same(),
            n => at.times(self.gamma.powf(n as f64)),
        }
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let passed = self.milestones.iter().filter(|&&m| m <= at.epoch).count();
        at.base_lrs.iter().map(|lr| lr * self.gamma.powf(passed as f64)).collect()
    }

    stored!();
}

/// Multiplies the rates by a factor for the first epochs.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ConstantLR.html>
#[derive(Clone, Debug)]
pub struct ConstantLR {
    factor: f64,
    total_iters: i64,
}

impl Default for ConstantLR {
    fn default() -> Self {
        ConstantLR { factor: 1.0 / 3.0, total_iters: 5 }
    }
}

impl ConstantLR {
    /// A third for five epochs.
    pub fn new() -> ConstantLR {
        Self::default()
    }

    /// The factor (1/3).
    ///
    /// # Panics
    /// Unless it is from 0 to 1.
    #[track_caller]
    pub fn factor(self, factor: f64) -> ConstantLR {
        assert!((0.0..=1.0).contains(&factor), "ConstantLR: factor: {factor} given, but it must be from 0 to 1");
        ConstantLR { factor, ..self }
    }

    /// For how many epochs (5).
    pub fn total_iters(self, total_iters: usize) -> ConstantLR {
        ConstantLR { total_iters: total_iters as i64, ..self }
    }

    state!(save, read; "factor" => factor, "total_iters" => total_iters);
}

impl Schedule for ConstantLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        match at.epoch {
            0 => at.times(self.factor),
            epoch if epoch == self.total_iters => at.times(1.0 / self.factor),
            _ => at.same(),
        }
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let over = f64::from(at.epoch >= self.total_iters);
        at.base_lrs.iter().map(|lr| lr * (self.factor + over * (1.0 - self.factor))).collect()
    }

    stored!();
}

/// Moves the factor of the rates evenly from one value to another over the first epochs: a warm-up.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html>
#[derive(Clone, Debug)]
pub struct LinearLR {
    start_factor: f64,
    end_factor: f64,
    total_iters: i64,
}

impl Default for LinearLR {
    fn default() -> Self {
        LinearLR { start_factor: 1.0 / 3.0, end_factor: 1.0, total_iters: 5 }
    }
}

impl LinearLR {
    /// From a third to 1 over five epochs.
    pub fn new() -> LinearLR {
        Self::default()
    }

    /// The first factor (1/3).
    ///
    /// # Panics
    /// Unless it is above 0 and at most 1.
    #[track_caller]
    pub fn start_factor(self, start_factor: f64) -> LinearLR {
        let fits = start_factor > 0.0 && start_factor <= 1.0;
        assert!(fits, "LinearLR: start_factor: {start_factor} given, but it must be above 0 and at most 1");
        LinearLR { start_factor, ..self }
    }

    /// The last factor (1).
    ///
    /// # Panics
    /// Unless it is from 0 to 1.
    #[track_caller]
    pub fn end_factor(self, end_factor: f64) -> LinearLR {
        let fits = (0.0..=1.0).contains(&end_factor);
        assert!(fits, "LinearLR: end_factor: {end_factor} given, but it must be from 0 to 1");
        LinearLR { end_factor, ..self }
    }

    /// Over how many epochs (5).
    pub fn total_iters(self, total_iters: usize) -> LinearLR {
        LinearLR { total_iters: total_iters as i64, ..self }
    }

    state!(save, read; "start_factor" => start_factor, "end_factor" => end_factor, "total_iters" => total_iters);
}

impl Schedule for LinearLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.epoch == 0 {
            return at.times(self.start_factor);
        }
        if at.initial || at.epoch > self.total_iters {
            return at.same();
        }
        let rise = self.end_factor - self.start_factor;
        let before = self.total_iters as f64 * self.start_factor + (at.epoch - 1) as f64 * rise;
        at.times(1.0 + rise / before)
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let rise = self.end_factor - self.start_factor;
        let done = at.epoch.min(self.total_iters) as f64 / self.total_iters.max(1) as f64;
        at.base_lrs.iter().map(|lr| lr * (self.start_factor + rise * done)).collect()
    }

    stored!();
}

/// Multiplies the rates by `gamma` every epoch.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ExponentialLR.html>
#[derive(Clone, Debug)]
pub struct ExponentialLR {
    gamma: f64,
}

impl ExponentialLR {
    /// By this factor.
    pub fn new(gamma: f64) -> ExponentialLR {
        ExponentialLR { gamma }
    }

    state!(save, read; "gamma" => gamma);
}

impl Schedule for ExponentialLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.initial { at.same() } else { at.times(self.gamma) }
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        at.base_lrs.iter().map(|lr| lr * self.gamma.powf(at.epoch as f64)).collect()
    }

    stored!();
}

/// Lets the rates fall to 0 along a power of what is left of the epochs.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.PolynomialLR.html>
#[derive(Clone, Debug)]
pub struct PolynomialLR {
    total_iters: i64,
    power: f64,
}

impl Default for PolynomialLR {
    fn default() -> Self {
        PolynomialLR { total_iters: 5, power: 1.0 }
    }
}

impl PolynomialLR {
    /// In a line over five epochs.
    pub fn new() -> PolynomialLR {
        Self::default()
    }

    /// Over how many epochs (5).
    pub fn total_iters(self, total_iters: usize) -> PolynomialLR {
        PolynomialLR { total_iters: total_iters as i64, ..self }
    }

    /// The power (1).
    pub fn power(self, power: f64) -> PolynomialLR {
        PolynomialLR { power, ..self }
    }

    fn left(&self, epoch: i64) -> f64 {
        1.0 - epoch as f64 / self.total_iters as f64
    }

    state!(save, read; "total_iters" => total_iters, "power" => power);
}

impl Schedule for PolynomialLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.initial || at.epoch > self.total_iters {
            return at.same();
        }
        at.times((self.left(at.epoch) / self.left(at.epoch - 1)).powf(self.power))
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let left = self.left(at.epoch.min(self.total_iters)).powf(self.power);
        at.base_lrs.iter().map(|lr| lr * left).collect()
    }

    stored!();
}

/// A function of the epoch.
pub type LrLambda = Box<dyn Fn(i64) -> f64 + Send>;

fn lambdas_of(lambdas: &[LrLambda], name: &str, groups: usize, epoch: i64) -> Vec<f64> {
    match lambdas {
        [one] => vec![one(epoch); groups],
        _ => {
            let given = lambdas.len();
            assert!(given == groups, "{name}: {given} functions given for {groups} groups");
            lambdas.iter().map(|f| f(epoch)).collect()
        }
    }
}

/// Makes the rates a function of the epoch times the rates at the start. The function is not saved.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LambdaLR.html>
pub struct LambdaLR {
    lambdas: Vec<LrLambda>,
}

impl LambdaLR {
    /// One function for all groups.
    pub fn new(lr_lambda: impl Fn(i64) -> f64 + Send + 'static) -> LambdaLR {
        LambdaLR { lambdas: vec![Box::new(lr_lambda)] }
    }

    /// A function for each group.
    pub fn each(lr_lambdas: Vec<LrLambda>) -> LambdaLR {
        LambdaLR { lambdas: lr_lambdas }
    }
}

impl Schedule for LambdaLR {
    #[track_caller]
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let factors = lambdas_of(&self.lambdas, "LambdaLR", at.base_lrs.len(), at.epoch);
        at.base_lrs.iter().zip(factors).map(|(lr, factor)| lr * factor).collect()
    }
}

/// Multiplies the rates by a function of the epoch, from epoch 1 on. The function is not saved.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiplicativeLR.html>
pub struct MultiplicativeLR {
    lambdas: Vec<LrLambda>,
}

impl MultiplicativeLR {
    /// One function for all groups.
    pub fn new(lr_lambda: impl Fn(i64) -> f64 + Send + 'static) -> MultiplicativeLR {
        MultiplicativeLR { lambdas: vec![Box::new(lr_lambda)] }
    }

    /// A function for each group.
    pub fn each(lr_lambdas: Vec<LrLambda>) -> MultiplicativeLR {
        MultiplicativeLR { lambdas: lr_lambdas }
    }
}

impl Schedule for MultiplicativeLR {
    #[track_caller]
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.initial {
            return at.same();
        }
        let factors = lambdas_of(&self.lambdas, "MultiplicativeLR", at.lrs.len(), at.epoch);
        at.lrs.iter().zip(factors).map(|(lr, factor)| lr * factor).collect()
    }
}
