//! Rates that go up and down between two bounds.

use serde_json::{Map, Value as Json};

use super::basic::stored;
use super::state::{state, stored_choice};
use super::{Epoch, Optimizer, PerGroup, Schedule, assert_momentum, set_momentum};

/// How the height of the cycles of [`CyclicLR`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CyclicMode {
    /// Not at all.
    Triangular,
    /// It is halved with each cycle.
    Triangular2,
    /// It is `gamma` to the power of the steps so far.
    ExpRange,
}
stored_choice!(CyclicMode {
    "triangular" => CyclicMode::Triangular,
    "triangular2" => CyclicMode::Triangular2,
    "exp_range" => CyclicMode::ExpRange
});

/// What the function of [`CyclicLR::scale_fn`] is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleMode {
    /// The number of the cycle, from 1.
    Cycle,
    /// The number of steps so far.
    Iterations,
}
stored_choice!(ScaleMode { "cycle" => ScaleMode::Cycle, "iterations" => ScaleMode::Iterations });

/// Moves the rates up and down between two bounds, and the momentum the other way; to be stepped after each batch.
///
/// Smith (2017). <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CyclicLR.html>
pub struct CyclicLR {
    base: PerGroup,
    max: PerGroup,
    step_size_up: f64,
    step_size_down: Option<f64>,
    mode: CyclicMode,
    gamma: f64,
    scale_fn: Option<Box<dyn Fn(f64) -> f64 + Send>>,
    scale_mode: ScaleMode,
    cycle_momentum: bool,
    momentum: (PerGroup, PerGroup),
    // For each group, and the ratio of the way up: what the optimiser and the options give.
    base_lrs: Vec<f64>,
    max_lrs: Vec<f64>,
    base_momentums: Vec<f64>,
    max_momentums: Vec<f64>,
    total_size: f64,
    step_ratio: f64,
}

impl CyclicLR {
    /// Between these rates, for all groups or one for each.
    pub fn new(base_lr: impl Into<PerGroup>, max_lr: impl Into<PerGroup>) -> CyclicLR {
        CyclicLR {
            base: base_lr.into(),
            max: max_lr.into(),
            step_size_up: 2000.0,
            step_size_down: None,
            mode: CyclicMode::Triangular,
            gamma: 1.0,
            scale_fn: None,
            scale_mode: ScaleMode::Cycle,
            cycle_momentum: true,
            momentum: (PerGroup::Same(0.8), PerGroup::Same(0.9)),
            base_lrs: Vec::new(),
            max_lrs: Vec::new(),
            base_momentums: Vec::new(),
            max_momentums: Vec::new(),
            total_size: 0.0,
            step_ratio: 0.0,
        }
    }

    /// Steps of the way up (2000).
    ///
    /// # Panics
    /// When there are none.
    #[track_caller]
    pub fn step_size_up(self, steps: usize) -> CyclicLR {
        assert!(steps > 0, "CyclicLR: step_size_up must not be 0");
        CyclicLR { step_size_up: steps as f64, ..self }
    }

    /// Steps of the way down (as many as up).
    ///
    /// # Panics
    /// When there are none.
    #[track_caller]
    pub fn step_size_down(self, steps: usize) -> CyclicLR {
        assert!(steps > 0, "CyclicLR: step_size_down must not be 0");
        CyclicLR { step_size_down: Some(steps as f64), ..self }
    }

    /// How the height of the cycles changes (not at all).
    pub fn mode(self, mode: CyclicMode) -> CyclicLR {
        CyclicLR { mode, ..self }
    }

    /// The base of [`CyclicMode::ExpRange`] (1).
    pub fn gamma(self, gamma: f64) -> CyclicLR {
        CyclicLR { gamma, ..self }
    }

    /// The height of the cycles as a function of your own, in the place of a mode. It is not saved.
    pub fn scale_fn(self, scale_fn: impl Fn(f64) -> f64 + Send + 'static, scale_mode: ScaleMode) -> CyclicLR {
        CyclicLR { scale_fn: Some(Box::new(scale_fn)), scale_mode, ..self }
    }

    /// Whether the momentum moves too (true).
    pub fn cycle_momentum(self, cycle_momentum: bool) -> CyclicLR {
        CyclicLR { cycle_momentum, ..self }
    }

    /// The smallest momentum (0.8).
    pub fn base_momentum(self, base_momentum: impl Into<PerGroup>) -> CyclicLR {
        CyclicLR { momentum: (base_momentum.into(), self.momentum.1), ..self }
    }

    /// The largest momentum (0.9).
    pub fn max_momentum(self, max_momentum: impl Into<PerGroup>) -> CyclicLR {
        CyclicLR { momentum: (self.momentum.0, max_momentum.into()), ..self }
    }

    /// How far the rates are between their bounds.
    fn height(&self, epoch: i64) -> f64 {
        let epoch = epoch as f64;
        let cycle = (1.0 + epoch / self.total_size).floor();
        let x = 1.0 + epoch / self.total_size - cycle;
        let part = if x <= self.step_ratio { x / self.step_ratio } else { (x - 1.0) / (self.step_ratio - 1.0) };
        let by_cycle = match (&self.scale_fn, self.mode) {
            (Some(_), _) => self.scale_mode == ScaleMode::Cycle,
            (None, mode) => mode != CyclicMode::ExpRange,
        };
        let x = if by_cycle { cycle } else { epoch };
        let scale = match (&self.scale_fn, self.mode) {
            (Some(function), _) => function(x),
            (None, CyclicMode::Triangular) => 1.0,
            (None, CyclicMode::Triangular2) => 1.0 / 2f64.powf(x - 1.0),
            (None, CyclicMode::ExpRange) => self.gamma.powf(x),
        };
        part * scale
    }

    state! {
        save, read;
        "max_lrs" => max_lrs, "cyclic_base_lrs" => base_lrs, "total_size" => total_size, "step_ratio" => step_ratio,
        "mode" => mode, "gamma" => gamma, "scale_mode" => scale_mode, "cycle_momentum" => cycle_momentum,
        "base_momentums" => base_momentums, "max_momentums" => max_momentums
    }
}

impl Schedule for CyclicLR {
    #[track_caller]
    fn attach(&mut self, optimizer: &mut dyn Optimizer) {
        self.base_lrs = self.base.of("base_lr", optimizer);
        self.max_lrs = self.max.of("max_lr", optimizer);
        self.total_size = self.step_size_up + self.step_size_down.unwrap_or(self.step_size_up);
        self.step_ratio = self.step_size_up / self.total_size;
        if self.cycle_momentum {
            assert_momentum("CyclicLR", optimizer);
            self.base_momentums = self.momentum.0.of("base_momentum", optimizer);
            self.max_momentums = self.momentum.1.of("max_momentum", optimizer);
            set_momentum(optimizer, &self.max_momentums);
        }
        for (group, lr) in optimizer.param_groups_mut().iter_mut().zip(&self.base_lrs) {
            group.set_lr(*lr);
        }
    }

    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let height = self.height(at.epoch);
        self.base_lrs.iter().zip(&self.max_lrs).map(|(base, max)| base + (max - base) * height).collect()
    }

    fn get_momentum(&self, at: &Epoch<'_>) -> Option<Vec<f64>> {
        let height = self.height(at.epoch);
        let bounds = self.base_momentums.iter().zip(&self.max_momentums);
        self.cycle_momentum.then(|| bounds.map(|(base, max)| max - (max - base) * height).collect())
    }

    stored!();
}
