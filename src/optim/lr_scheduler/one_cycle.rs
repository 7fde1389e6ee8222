//! One cycle of the learning rate over a whole training.

use std::f64::consts::PI;

use serde_json::{Map, Value as Json};

use super::basic::stored;
use super::state::{state, stored_choice};
use super::{Epoch, Optimizer, PerGroup, Schedule, assert_momentum, set_momentum};

/// The curve between two rates of [`OneCycleLR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnealStrategy {
    /// Half a cosine.
    Cos,
    /// A line.
    Linear,
}
stored_choice!(AnnealStrategy { "cos" => AnnealStrategy::Cos, "linear" => AnnealStrategy::Linear });

impl AnnealStrategy {
    fn between(self, start: f64, end: f64, part: f64) -> f64 {
        match self {
            AnnealStrategy::Cos => end + (start - end) / 2.0 * ((PI * part).cos() + 1.0),
            AnnealStrategy::Linear => (end - start) * part + start,
        }
    }
}

/// Lets the rates rise to a maximum and fall far below where they started, and the momentum the other way; to be stepped
/// after each batch, `total_steps` times at most.
///
/// Smith and Topin (2018). <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html>
#[derive(Clone, Debug)]
pub struct OneCycleLR {
    max: PerGroup,
    total_steps: i64,
    pct_start: f64,
    anneal_strategy: AnnealStrategy,
    cycle_momentum: bool,
    momentum: (PerGroup, PerGroup),
    div_factor: f64,
    final_div_factor: f64,
    three_phase: bool,
    // For each group: what the optimiser and the options give.
    initial_lrs: Vec<f64>,
    max_lrs: Vec<f64>,
    min_lrs: Vec<f64>,
    base_momentums: Vec<f64>,
    max_momentums: Vec<f64>,
}

/// A part of the way: its last step, and between which rates and momenta it leads.
struct Phase<'a> {
    end: f64,
    lrs: (&'a [f64], &'a [f64]),
    momentums: (&'a [f64], &'a [f64]),
}

impl OneCycleLR {
    /// To this rate, for all groups or one for each, in so many steps (batches of an epoch times epochs).
    ///
    /// # Panics
    /// When `total_steps` is 0.
    #[track_caller]
    pub fn new(max_lr: impl Into<PerGroup>, total_steps: usize) -> OneCycleLR {
        assert!(total_steps > 0, "OneCycleLR: total_steps must not be 0");
        OneCycleLR {
            max: max_lr.into(),
            total_steps: total_steps as i64,
            pct_start: 0.3,
            anneal_strategy: AnnealStrategy::Cos,
            cycle_momentum: true,
            momentum: (PerGroup::Same(0.85), PerGroup::Same(0.95)),
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
            initial_lrs: Vec::new(),
            max_lrs: Vec::new(),
            min_lrs: Vec::new(),
            base_momentums: Vec::new(),
            max_momentums: Vec::new(),
        }
    }

    /// The share of the steps in which the rates rise (0.3).
    ///
    /// # Panics
    /// Unless it is from 0 to 1.
    #[track_caller]
    pub fn pct_start(self, pct_start: f64) -> OneCycleLR {
        assert!(
            (0.0..=1.0).contains(&pct_start),
            "OneCycleLR: pct_start: {pct_start} given, but it must be from 0 to 1"
        );
        OneCycleLR { pct_start, ..self }
    }

    /// The curve between the rates (half a cosine).
    pub fn anneal_strategy(self, anneal_strategy: AnnealStrategy) -> OneCycleLR {
        OneCycleLR { anneal_strategy, ..self }
    }

    /// Whether the momentum moves too (true).
    pub fn cycle_momentum(self, cycle_momentum: bool) -> OneCycleLR {
        OneCycleLR { cycle_momentum, ..self }
    }

    /// The smallest momentum (0.85).
    pub fn base_momentum(self, base_momentum: impl Into<PerGroup>) -> OneCycleLR {
        OneCycleLR { momentum: (base_momentum.into(), self.momentum.1), ..self }
    }

    /// The largest momentum (0.95).
    pub fn max_momentum(self, max_momentum: impl Into<PerGroup>) -> OneCycleLR {
        OneCycleLR { momentum: (self.momentum.0, max_momentum.into()), ..self }
    }

    /// The first rate is the largest divided by this (25).
    pub fn div_factor(self, div_factor: f64) -> OneCycleLR {
        OneCycleLR { div_factor, ..self }
    }

    /// The last rate is the first divided by this (10⁴).
    pub fn final_div_factor(self, final_div_factor: f64) -> OneCycleLR {
        OneCycleLR { final_div_factor, ..self }
    }

    /// Fall back to the first rate in as many steps as the rise took, and only then further (false).
    pub fn three_phase(self, three_phase: bool) -> OneCycleLR {
        OneCycleLR { three_phase, ..self }
    }

    fn phases(&self) -> Vec<Phase<'_>> {
        let total = self.total_steps as f64;
        let (initial, max, min) = (&*self.initial_lrs, &*self.max_lrs, &*self.min_lrs);
        let (low, high) = (&*self.base_momentums, &*self.max_momentums);
        let rise = Phase { end: self.pct_start * total - 1.0, lrs: (initial, max), momentums: (high, low) };
        let end = total - 1.0;
        if !self.three_phase {
            return vec![rise, Phase { end, lrs: (max, min), momentums: (low, high) }];
        }
        let fall = Phase { end: 2.0 * self.pct_start * total - 2.0, lrs: (max, initial), momentums: (low, high) };
        vec![rise, fall, Phase { end, lrs: (initial, min), momentums: (high, high) }]
    }

    /// The phase of a step, and how much of it is over.
    fn phase(&self, step: i64) -> (Phase<'_>, f64) {
        let mut start = 0.0;
        let mut phases = self.phases();
        let last = phases.len() - 1;
        let at = phases.iter().position(|phase| step as f64 <= phase.end).unwrap_or(last);
        if at > 0 {
            start = phases[at - 1].end;
        }
        let phase = phases.swap_remove(at);
        let part = (step as f64 - start) / (phase.end - start);
        (phase, part)
    }

    state! {
        save, read;
        "total_steps" => total_steps, "pct_start" => pct_start, "_anneal_func_type" => anneal_strategy,
        "cycle_momentum" => cycle_momentum, "three_phase" => three_phase, "initial_lrs" => initial_lrs,
        "max_lrs" => max_lrs, "min_lrs" => min_lrs, "base_momentums" => base_momentums,
        "max_momentums" => max_momentums
    }
}

impl Schedule for OneCycleLR {
    #[track_caller]
    fn attach(&mut self, optimizer: &mut dyn Optimizer) {
        self.max_lrs = self.max.of("max_lr", optimizer);
        self.initial_lrs = self.max_lrs.iter().map(|lr| lr / self.div_factor).collect();
        self.min_lrs = self.initial_lrs.iter().map(|lr| lr / self.final_div_factor).collect();
        for (group, lr) in optimizer.param_groups_mut().iter_mut().zip(&self.initial_lrs) {
            group.initial_lr = Some(*lr);
        }
        if self.cycle_momentum {
            assert_momentum("OneCycleLR", optimizer);
            self.base_momentums = self.momentum.0.of("base_momentum", optimizer);
            self.max_momentums = self.momentum.1.of("max_momentum", optimizer);
            set_momentum(optimizer, &self.max_momentums);
        }
    }

    #[track_caller]
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let (step, total) = (at.epoch, self.total_steps);
        assert!(step <= total, "OneCycleLR: step {step} of a schedule of {total} steps");
        let (phase, part) = self.phase(step);
        let ends = phase.lrs.0.iter().zip(phase.lrs.1);
        ends.map(|(start, end)| self.anneal_strategy.between(*start, *end, part)).collect()
    }

    fn get_momentum(&self, at: &Epoch<'_>) -> Option<Vec<f64>> {
        let (phase, part) = self.phase(at.epoch);
        let ends = phase.momentums.0.iter().zip(phase.momentums.1);
        let between = |(start, end): (&f64, &f64)| self.anneal_strategy.between(*start, *end, part);
        self.cycle_momentum.then(|| ends.map(between).collect())
    }

    stored!();
}
