//! What `configure_optimizers` gives.

use serde_json::Value as Json;

use crate::Result;
use crate::optim::lr_scheduler::{LRScheduler, ReduceLROnPlateau};
use crate::optim::{Optimizer, ParamGroup};

/// When a schedule makes a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// After every epoch.
    #[default]
    Epoch,
    /// After every update.
    Step,
}

/// An optimiser, with a schedule for its learning rate perhaps.
///
/// ```
/// use lumigrad::optim::{Adam, lr_scheduler::{Schedule, StepLR}};
/// use lumigrad::train::{Interval, Optimizers};
/// use lumigrad::{nn, prelude::*};
///
/// let model = nn::Linear::new(3, 1);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// let schedule = StepLR::new(10).gamma(0.5).on(&mut optimizer);
/// let optimizers = Optimizers::new(optimizer).schedule(schedule, Interval::Epoch);
/// ```
pub struct Optimizers {
    pub(super) optimizer: Box<dyn Optimizer>,
    schedule: Option<Schedule>,
}

enum Schedule {
    Plain(Box<dyn LRScheduler>, Interval),
    /// After every epoch, by this metric.
    Plateau(Box<ReduceLROnPlateau>, String),
}

impl Optimizers {
    /// An optimiser with the learning rate that it has.
    pub fn new(optimizer: impl Optimizer + 'static) -> Self {
        Optimizers { optimizer: Box::new(optimizer), schedule: None }
    }

    /// With a schedule that was put on the optimiser.
    pub fn schedule(mut self, schedule: impl LRScheduler + 'static, interval: Interval) -> Self {
        self.schedule = Some(Schedule::Plain(Box::new(schedule), interval));
        self
    }

    /// With a learning rate that falls when a logged metric no longer becomes better, looked at after every epoch that
    /// brings a new value of it.
    pub fn reduce_on_plateau(mut self, schedule: ReduceLROnPlateau, monitor: &str) -> Self {
        self.schedule = Some(Schedule::Plateau(Box::new(schedule), monitor.into()));
        self
    }

    pub(super) fn learning_rates(&self) -> Vec<f64> {
        self.optimizer.param_groups().iter().map(ParamGroup::get_lr).collect()
    }

    /// A step of the schedule, if it makes one now. `fresh` gives a metric that an epoch has brought.
    pub(super) fn step_schedule(&mut self, now: Interval, fresh: &dyn Fn(&str) -> Result<Option<f64>>) -> Result<()> {
        match &mut self.schedule {
            Some(Schedule::Plain(schedule, interval)) if *interval == now => schedule.step(&mut *self.optimizer),
            Some(Schedule::Plateau(schedule, monitor)) if now == Interval::Epoch => {
                if let Some(value) = fresh(monitor)? {
                    schedule.step(value, &mut *self.optimizer);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn schedule_state(&self) -> Json {
        match &self.schedule {
            None => Json::Null,
            Some(Schedule::Plain(schedule, _)) => schedule.state_dict(),
            Some(Schedule::Plateau(schedule, _)) => schedule.state_dict(),
        }
    }

    pub(super) fn load_schedule_state(&mut self, state: &Json) -> Result<()> {
        match &mut self.schedule {
            None => Ok(()),
            Some(Schedule::Plain(schedule, _)) => schedule.load_state_dict(state),
            Some(Schedule::Plateau(schedule, _)) => schedule.load_state_dict(state),
        }
    }
}

impl<O: Optimizer + 'static> From<O> for Optimizers {
    fn from(optimizer: O) -> Self {
        Optimizers::new(optimizer)
    }
}
