//! Schedules of the learning rate: `torch.optim.lr_scheduler`.
//!
//! A schedule is described first and then put on an optimiser, whose learning rates it sets at once; after that each
//! `step` sets them for the next epoch (or batch, as you count).
//!
//! ```
//! use lumigrad::{nn, optim::{SGD, lr_scheduler::StepLR}, prelude::*};
//! let model = nn::Linear::new(3, 1);
//! let mut optimizer = SGD::new(model.parameters(), 0.1);
//! let mut scheduler = StepLR::new(2).gamma(0.5).on(&mut optimizer);
//! let mut rates = Vec::new();
//! for _epoch in 0..5 {
//!     // … train for an epoch …
//!     rates.push(optimizer.lr());
//!     scheduler.step(&mut optimizer);
//! }
//! assert_eq!(rates, [0.1, 0.1, 0.05, 0.05, 0.025]);
//! ```
//!
//! The formulas are PyTorch's, and so is the way of applying them: most schedules multiply the rate that a group has, so
//! that several can be chained and a rate that is set by hand is kept.

mod basic;
mod combined;
mod cosine;
mod cyclic;
mod one_cycle;
mod plateau;
mod state;

pub use basic::{
    ConstantLR, ExponentialLR, LambdaLR, LinearLR, LrLambda, MultiStepLR, MultiplicativeLR, PolynomialLR, StepLR,
};
pub use combined::{ChainedScheduler, SequentialLR};
pub use cosine::{CosineAnnealingLR, CosineAnnealingWarmRestarts};
pub use cyclic::{CyclicLR, CyclicMode, ScaleMode};
pub use one_cycle::{AnnealStrategy, OneCycleLR};
pub use plateau::{PlateauMode, ReduceLROnPlateau, ThresholdMode};

use serde_json::{Map, Value as Json};

use super::{Optimizer, OptionValue, ParamGroup};
use crate::{Error, Result};
use state::state;

/// A schedule that was put on an optimiser.
pub trait LRScheduler: Send {
    /// Sets the learning rates of the next epoch. Call it after the optimiser's steps of this one.
    ///
    /// # Panics
    /// When the optimiser has another number of groups than when the schedule was put on it, or the schedule has an end
    /// that it would step over.
    fn step(&mut self, optimizer: &mut dyn Optimizer);

    /// The learning rates that the last step set, one for each group.
    fn get_last_lr(&self) -> &[f64];

    /// The number of the epoch that the rates are for, from 0.
    fn last_epoch(&self) -> i64;

    /// Everything that has to be saved to go on later, as JSON with PyTorch's names. Functions are not saved.
    fn state_dict(&self) -> Json;

    /// Takes over a saved state, after checking all of it. The learning rates themselves are in the optimiser's state.
    ///
    /// # Errors
    /// When an entry is missing or of the wrong kind; then nothing has changed.
    fn load_state_dict(&mut self, state: &Json) -> Result<()>;

    /// Checks a state, and takes it over if `commit` says so: for schedules made of others.
    #[doc(hidden)]
    fn load(&mut self, state: &Json, commit: bool) -> Result<(), String>;

    /// Sets the rates of epoch 0.
    #[doc(hidden)]
    fn initial_step(&mut self, optimizer: &mut dyn Optimizer);

    /// Takes the epoch of the initial step back.
    #[doc(hidden)]
    fn undo(&mut self);

    /// Sets the rates of epoch 0 in the middle of a sequence.
    #[doc(hidden)]
    fn restart(&mut self, optimizer: &mut dyn Optimizer);
}

/// What a schedule computes rates from.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    /// The epoch that the rates are for, from 0.
    pub epoch: i64,
    /// The rates that the groups started from.
    pub base_lrs: &'a [f64],
    /// The rates that the groups have now.
    pub lrs: &'a [f64],
    /// Whether the schedule is just being put on the optimiser.
    pub initial: bool,
}

impl Epoch<'_> {
    /// The rates as they are, each times a factor.
    fn times(&self, factor: f64) -> Vec<f64> {
        self.lrs.iter().map(|lr| lr * factor).collect()
    }

    /// The rates as they are.
    fn same(&self) -> Vec<f64> {
        self.lrs.to_vec()
    }
}

/// How learning rates change: what a schedule of your own implements.
///
/// ```
/// use lumigrad::optim::lr_scheduler::{Epoch, LRScheduler, Schedule};
/// use lumigrad::{nn, optim::SGD, prelude::*};
///
/// /// The base rate over the square root of the epoch.
/// struct InverseRoot;
///
/// impl Schedule for InverseRoot {
///     fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
///         at.base_lrs.iter().map(|lr| lr / (at.epoch as f64 + 1.0).sqrt()).collect()
///     }
/// }
///
/// let mut optimizer = SGD::new(nn::Linear::new(3, 1).parameters(), 0.1);
/// let mut scheduler = InverseRoot.on(&mut optimizer);
/// (0..3).for_each(|_| scheduler.step(&mut optimizer));
/// assert_eq!(optimizer.lr(), 0.05);
/// ```
pub trait Schedule: Send {
    /// The rates of an epoch, one for each group. Called once an epoch, from 0 on.
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64>;

    /// The rates where a sequence begins the schedule, at epoch 0.
    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        self.get_lr(at)
    }

    /// The momentum that goes with the rates, where the schedule has one: called after the rates are computed.
    fn get_momentum(&self, _at: &Epoch<'_>) -> Option<Vec<f64>> {
        None
    }

    /// Called once, before the groups' rates are noted as those to start from.
    fn attach(&mut self, _optimizer: &mut dyn Optimizer) {}

    /// What else has to be saved.
    fn state(&self) -> Map<String, Json> {
        Map::new()
    }

    /// Checks what was saved, and takes it over if `commit` says so.
    ///
    /// # Errors
    /// What is wrong with it.
    fn load(&mut self, _state: &Map<String, Json>, _commit: bool) -> Result<(), String> {
        Ok(())
    }

    /// Puts the schedule on an optimiser and sets the learning rates of the first epoch.
    ///
    /// # Panics
    /// When the schedule does not fit the optimiser: values for another number of groups, or a momentum that the
    /// optimiser does not have.
    #[track_caller]
    fn on(mut self, optimizer: &mut dyn Optimizer) -> Scheduler<Self>
    where
        Self: Sized,
    {
        self.attach(optimizer);
        let groups = optimizer.param_groups_mut().iter_mut();
        let base_lrs = groups.map(|group| *group.initial_lr.get_or_insert(group.get_lr())).collect();
        let mut scheduler = Scheduler { schedule: self, base_lrs, last_epoch: -1, step_count: 0, last_lr: Vec::new() };
        scheduler.initial_step(optimizer);
        scheduler
    }
}

/// A [`Schedule`] on an optimiser.
pub struct Scheduler<S> {
    schedule: S,
    base_lrs: Vec<f64>,
    last_epoch: i64,
    step_count: i64,
    last_lr: Vec<f64>,
}

impl<S: Schedule> Scheduler<S> {
    /// The schedule.
    pub fn schedule(&self) -> &S {
        &self.schedule
    }

    #[track_caller]
    fn set(&mut self, optimizer: &mut dyn Optimizer, initial: bool, compute: fn(&mut S, &Epoch<'_>) -> Vec<f64>) {
        let lrs: Vec<f64> = optimizer.param_groups().iter().map(ParamGroup::get_lr).collect();
        let (given, own) = (lrs.len(), self.base_lrs.len());
        assert!(
            given == own,
            "the schedule was put on an optimiser with {own} groups, and this one has {given}; make schedules after \
             `add_param_group`"
        );
        let at = Epoch { epoch: self.last_epoch, base_lrs: &self.base_lrs, lrs: &lrs, initial };
        let new = compute(&mut self.schedule, &at);
        assert!(new.len() == own, "the schedule gives {} learning rates for {own} groups", new.len());
        for (group, lr) in optimizer.param_groups_mut().iter_mut().zip(&new) {
            group.set_lr(*lr);
        }
        if let Some(momentum) = self.schedule.get_momentum(&at) {
            set_momentum(optimizer, &momentum);
        }
        self.last_lr = new;
    }
}

impl<S: Schedule> LRScheduler for Scheduler<S> {
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn Optimizer) {
        self.step_count += 1;
        self.last_epoch += 1;
        self.set(optimizer, false, S::get_lr);
    }

    fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }

    fn last_epoch(&self) -> i64 {
        self.last_epoch
    }

    fn state_dict(&self) -> Json {
        let mut map = self.schedule.state();
        map.extend(self.own_state());
        Json::Object(map)
    }

    fn load_state_dict(&mut self, state: &Json) -> Result<()> {
        load_state(self, state)
    }

    fn load(&mut self, state: &Json, commit: bool) -> Result<(), String> {
        let map = state.as_object().ok_or("the state is no object")?;
        self.load_own(map, false)?;
        self.schedule.load(map, commit)?;
        self.load_own(map, commit)
    }

    #[track_caller]
    fn initial_step(&mut self, optimizer: &mut dyn Optimizer) {
        self.step_count = 1;
        self.last_epoch += 1;
        self.set(optimizer, true, S::get_lr);
    }

    fn undo(&mut self) {
        self.last_epoch -= 1;
    }

    #[track_caller]
    fn restart(&mut self, optimizer: &mut dyn Optimizer) {
        self.last_epoch = 0;
        self.set(optimizer, false, S::restart);
    }
}

impl<S> Scheduler<S> {
    state! {
        own_state, load_own;
        "base_lrs" => base_lrs, "last_epoch" => last_epoch, "_step_count" => step_count, "_last_lr" => last_lr
    }
}

/// [`LRScheduler::load_state_dict`] of every scheduler.
fn load_state(scheduler: &mut dyn LRScheduler, state: &Json) -> Result<()> {
    scheduler.load(state, false).and_then(|()| scheduler.load(state, true)).map_err(|e| Error::StateDict(vec![e]))
}

/// One value for all groups, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum PerGroup {
    /// The same for all.
    Same(f64),
    /// One for each.
    Each(Vec<f64>),
}

impl From<f64> for PerGroup {
    fn from(value: f64) -> Self {
        PerGroup::Same(value)
    }
}

impl From<Vec<f64>> for PerGroup {
    fn from(values: Vec<f64>) -> Self {
        PerGroup::Each(values)
    }
}

impl<const N: usize> From<[f64; N]> for PerGroup {
    fn from(values: [f64; N]) -> Self {
        PerGroup::Each(values.to_vec())
    }
}

impl PerGroup {
    #[track_caller]
    fn of(&self, name: &str, optimizer: &dyn Optimizer) -> Vec<f64> {
        let groups = optimizer.param_groups().len();
        match self {
            PerGroup::Same(value) => vec![*value; groups],
            PerGroup::Each(values) => {
                assert!(values.len() == groups, "{name}: {} values given for {groups} groups", values.len());
                values.clone()
            }
        }
    }
}

/// Whether the optimiser has what schedules of momentum change: `betas`, whose first number is the momentum, or
/// `momentum`.
#[track_caller]
fn assert_momentum(schedule: &str, optimizer: &dyn Optimizer) {
    let has = |group: &ParamGroup| group.get("betas").or(group.get("momentum")).is_some();
    assert!(
        optimizer.param_groups().iter().all(has),
        "{schedule}: the optimiser has neither `momentum` nor `betas`; switch `cycle_momentum` off"
    );
}

fn set_momentum(optimizer: &mut dyn Optimizer, momentum: &[f64]) {
    for (group, &momentum) in optimizer.param_groups_mut().iter_mut().zip(momentum) {
        match group.get("betas") {
            Some(OptionValue::Pair(_, second)) => group.change(|o| o.put("betas", (momentum, second).into(), true)),
            _ => group.change(|o| o.put("momentum", momentum.into(), true)),
        }
    }
}
