//! Rates that fall when a measure no longer improves.

use serde_json::Value as Json;

use super::state::{state, stored_choice};
use super::{Optimizer, ParamGroup, PerGroup};
use crate::{Error, Result};

/// Whether a measure improves downwards or upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlateauMode {
    /// A smaller one is better, such as a loss.
    Min,
    /// A larger one is better, such as an accuracy.
    Max,
}
stored_choice!(PlateauMode { "min" => PlateauMode::Min, "max" => PlateauMode::Max });

/// What the threshold of [`ReduceLROnPlateau`] is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdMode {
    /// A share of the best measure.
    Rel,
    /// A difference.
    Abs,
}
stored_choice!(ThresholdMode { "rel" => ThresholdMode::Rel, "abs" => ThresholdMode::Abs });

/// Multiplies the rates by a factor when a measure has not improved for more than `patience` epochs.
///
/// It changes nothing before its first step, so that it need not be put on the optimiser.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html>
///
/// ```
/// use lumigrad::{nn, optim::{SGD, lr_scheduler::ReduceLROnPlateau}, prelude::*};
/// let mut optimizer = SGD::new(nn::Linear::new(3, 1).parameters(), 0.1);
/// let mut scheduler = ReduceLROnPlateau::new().patience(1).factor(0.5);
/// for loss in [1.0, 0.9, 0.9, 0.9] {
///     scheduler.step(loss, &mut optimizer);
/// }
/// assert_eq!(optimizer.lr(), 0.05);
/// ```
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    mode: PlateauMode,
    factor: f64,
    patience: i64,
    threshold: f64,
    threshold_mode: ThresholdMode,
    cooldown: i64,
    min: PerGroup,
    eps: f64,
    best: f64,
    bad_epochs: i64,
    cooldown_counter: i64,
    last_epoch: i64,
    last_lr: Vec<f64>,
}

impl Default for ReduceLROnPlateau {
    fn default() -> Self {
        ReduceLROnPlateau {
            mode: PlateauMode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min: PerGroup::Same(0.0),
            eps: 1e-8,
            best: f64::INFINITY,
            bad_epochs: 0,
            cooldown_counter: 0,
            last_epoch: 0,
            last_lr: Vec::new(),
        }
    }
}

impl ReduceLROnPlateau {
    /// For a measure that should become smaller, with PyTorch's defaults.
    pub fn new() -> ReduceLROnPlateau {
        Self::default()
    }

    /// Which way the measure improves (downwards).
    pub fn mode(self, mode: PlateauMode) -> ReduceLROnPlateau {
        let best = if mode == PlateauMode::Min { f64::INFINITY } else { f64::NEG_INFINITY };
        ReduceLROnPlateau { mode, best, ..self }
    }

    /// The factor (0.1).
    ///
    /// # Panics
    /// When it is not below 1.
    #[track_caller]
    pub fn factor(self, factor: f64) -> ReduceLROnPlateau {
        assert!(factor < 1.0, "ReduceLROnPlateau: factor: {factor} given, but it must be below 1");
        ReduceLROnPlateau { factor, ..self }
    }

    /// How many epochs may pass without improvement (10).
    pub fn patience(self, patience: usize) -> ReduceLROnPlateau {
        ReduceLROnPlateau { patience: patience as i64, ..self }
    }

    /// What counts as improvement: a share of the best measure, or a difference (a share of 1e-4).
    pub fn threshold(self, threshold: f64, mode: ThresholdMode) -> ReduceLROnPlateau {
        ReduceLROnPlateau { threshold, threshold_mode: mode, ..self }
    }

    /// How many epochs after a fall are not judged (0).
    pub fn cooldown(self, cooldown: usize) -> ReduceLROnPlateau {
        ReduceLROnPlateau { cooldown: cooldown as i64, ..self }
    }

    /// The smallest rate, for all groups or one for each (0).
    pub fn min_lr(self, min_lr: impl Into<PerGroup>) -> ReduceLROnPlateau {
        ReduceLROnPlateau { min: min_lr.into(), ..self }
    }

    /// The smallest change of a rate; what would change less stays (1e-8).
    pub fn eps(self, eps: f64) -> ReduceLROnPlateau {
        ReduceLROnPlateau { eps, ..self }
    }

    /// Looks at the measure of an epoch, and lowers the rates if it is time to. NaN is no improvement.
    ///
    /// # Panics
    /// When the smallest rates are given for another number of groups.
    #[track_caller]
    pub fn step(&mut self, measure: f64, optimizer: &mut dyn Optimizer) {
        let min_lrs = self.min.of("min_lr", optimizer);
        self.last_epoch += 1;
        if self.is_better(measure) {
            (self.best, self.bad_epochs) = (measure, 0);
        } else {
            self.bad_epochs += 1;
        }
        if self.cooldown_counter > 0 {
            self.cooldown_counter -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs > self.patience {
            for (group, min) in optimizer.param_groups_mut().iter_mut().zip(min_lrs) {
                let (old, new) = (group.get_lr(), (group.get_lr() * self.factor).max(min));
                if old - new > self.eps {
                    group.set_lr(new);
                }
            }
            (self.cooldown_counter, self.bad_epochs) = (self.cooldown, 0);
        }
        self.last_lr = optimizer.param_groups().iter().map(ParamGroup::get_lr).collect();
    }

    fn is_better(&self, measure: f64) -> bool {
        match (self.mode, self.threshold_mode) {
            (PlateauMode::Min, ThresholdMode::Rel) => measure < self.best * (1.0 - self.threshold),
            (PlateauMode::Min, ThresholdMode::Abs) => measure < self.best - self.threshold,
            (PlateauMode::Max, ThresholdMode::Rel) => measure > self.best * (1.0 + self.threshold),
            (PlateauMode::Max, ThresholdMode::Abs) => measure > self.best + self.threshold,
        }
    }

    /// The learning rates after the last step, one for each group; none before the first.
    pub fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }

    /// The best measure so far; infinite before the first.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// Everything that has to be saved to go on later, as JSON with PyTorch's names.
    pub fn state_dict(&self) -> Json {
        Json::Object(self.save())
    }

    /// Takes over a saved state, after checking all of it.
    ///
    /// # Errors
    /// When an entry is missing or of the wrong kind; then nothing has changed.
    pub fn load_state_dict(&mut self, state: &Json) -> Result<()> {
        let load = state.as_object().ok_or_else(|| "the state is no object".to_string());
        load.and_then(|map| self.read(map, true)).map_err(|e| Error::StateDict(vec![e]))
    }

    state! {
        save, read;
        "mode" => mode, "factor" => factor, "patience" => patience, "threshold" => threshold,
        "threshold_mode" => threshold_mode, "cooldown" => cooldown, "eps" => eps, "best" => best,
        "num_bad_epochs" => bad_epochs, "cooldown_counter" => cooldown_counter, "last_epoch" => last_epoch,
        "_last_lr" => last_lr
    }
}
