//! Schedules made of others.

use serde_json::{Map, Value as Json, json};

use super::{LRScheduler, Optimizer, load_state};
use crate::Result;

/// One schedule after the other.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.SequentialLR.html>
///
/// ```
/// use lumigrad::optim::{SGD, lr_scheduler::{CosineAnnealingLR, LRScheduler, LinearLR, Schedule, SequentialLR}};
/// use lumigrad::{nn, prelude::*};
/// let mut optimizer = SGD::new(nn::Linear::new(3, 1).parameters(), 0.1);
/// let warm_up = LinearLR::new().start_factor(0.1).total_iters(5).on(&mut optimizer);
/// let cosine = CosineAnnealingLR::new(20).on(&mut optimizer);
/// let schedulers: Vec<Box<dyn LRScheduler>> = vec![Box::new(warm_up), Box::new(cosine)];
/// let mut scheduler = SequentialLR::new(&mut optimizer, schedulers, [5]);
/// assert!((optimizer.lr() - 0.01).abs() < 1e-12);
/// (0..5).for_each(|_| scheduler.step(&mut optimizer));
/// assert!((optimizer.lr() - 0.1).abs() < 1e-12);
/// ```
pub struct SequentialLR {
    schedulers: Vec<Box<dyn LRScheduler>>,
    milestones: Vec<i64>,
    last_epoch: i64,
    last_lr: Vec<f64>,
}

impl SequentialLR {
    /// These schedules, which were put on the optimiser; each but the first begins at a milestone.
    ///
    /// # Panics
    /// When there is no schedule, or there is not one milestone less than schedules.
    #[track_caller]
    pub fn new(
        optimizer: &mut dyn Optimizer,
        schedulers: Vec<Box<dyn LRScheduler>>,
        milestones: impl IntoIterator<Item = usize>,
    ) -> SequentialLR {
        let milestones: Vec<i64> = milestones.into_iter().map(|m| m as i64).collect();
        assert!(!schedulers.is_empty(), "SequentialLR: there must be at least one schedule");
        let (n, given) = (schedulers.len(), milestones.len());
        assert!(given + 1 == n, "SequentialLR: {n} schedules need {} milestones, {given} are given", n - 1);
        let mut sequence = SequentialLR { schedulers, milestones, last_epoch: 0, last_lr: Vec::new() };
        // Each schedule has set the rates of its first epoch: back to the start.
        for group in optimizer.param_groups_mut() {
            let lr = group.initial_lr.unwrap_or_else(|| group.get_lr());
            group.set_lr(lr);
        }
        sequence.undo();
        let now = sequence.current();
        sequence.schedulers[now].initial_step(optimizer);
        sequence.last_lr = sequence.schedulers[now].get_last_lr().to_vec();
        sequence
    }

    /// The schedule of this epoch.
    fn current(&self) -> usize {
        self.milestones.iter().filter(|&&m| m <= self.last_epoch).count()
    }
}

impl LRScheduler for SequentialLR {
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn Optimizer) {
        self.last_epoch += 1;
        let now = self.current();
        let scheduler = &mut self.schedulers[now];
        if now > 0 && self.milestones[now - 1] == self.last_epoch {
            scheduler.restart(optimizer);
        } else {
            scheduler.step(optimizer);
        }
        self.last_lr = scheduler.get_last_lr().to_vec();
    }

    fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }

    fn last_epoch(&self) -> i64 {
        self.last_epoch
    }

    fn state_dict(&self) -> Json {
        let mut map = children(&self.schedulers);
        map.insert("last_epoch".into(), json!(self.last_epoch));
        map.insert("_last_lr".into(), json!(self.last_lr));
        map.insert("_milestones".into(), json!(self.milestones));
        Json::Object(map)
    }

    fn load_state_dict(&mut self, state: &Json) -> Result<()> {
        load_state(self, state)
    }

    fn load(&mut self, state: &Json, commit: bool) -> Result<(), String> {
        let map = state.as_object().ok_or("the state is no object")?;
        let last_epoch = super::state::entry(map, "last_epoch")?;
        let last_lr = super::state::entry(map, "_last_lr")?;
        let milestones: Vec<i64> = super::state::entry(map, "_milestones")?;
        if milestones.len() != self.milestones.len() {
            return Err(format!("{} milestones, this sequence has {}", milestones.len(), self.milestones.len()));
        }
        load_children(&mut self.schedulers, map, commit)?;
        if commit {
            (self.last_epoch, self.last_lr, self.milestones) = (last_epoch, last_lr, milestones);
        }
        Ok(())
    }

    #[track_caller]
    fn initial_step(&mut self, optimizer: &mut dyn Optimizer) {
        self.step(optimizer);
    }

    fn undo(&mut self) {
        self.schedulers.iter_mut().for_each(|s| s.undo());
    }

    #[track_caller]
    fn restart(&mut self, optimizer: &mut dyn Optimizer) {
        self.last_epoch = 0;
        let now = self.current();
        self.schedulers[now].restart(optimizer);
        self.last_lr = self.schedulers[now].get_last_lr().to_vec();
    }
}

/// Several schedules at once: each multiplies what the others leave.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ChainedScheduler.html>
pub struct ChainedScheduler {
    schedulers: Vec<Box<dyn LRScheduler>>,
    last_lr: Vec<f64>,
}

impl ChainedScheduler {
    /// These schedules, which were put on the optimiser.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn new(schedulers: Vec<Box<dyn LRScheduler>>) -> ChainedScheduler {
        let last = schedulers.last().expect("ChainedScheduler: there must be at least one schedule");
        ChainedScheduler { last_lr: last.get_last_lr().to_vec(), schedulers }
    }

    fn note(&mut self) {
        let last = self.schedulers.last().expect("there is at least one");
        self.last_lr = last.get_last_lr().to_vec();
    }
}

impl LRScheduler for ChainedScheduler {
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn Optimizer) {
        self.schedulers.iter_mut().for_each(|s| s.step(optimizer));
        self.note();
    }

    fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }

    fn last_epoch(&self) -> i64 {
        self.schedulers[0].last_epoch()
    }

    fn state_dict(&self) -> Json {
        let mut map = children(&self.schedulers);
        map.insert("_last_lr".into(), json!(self.last_lr));
        Json::Object(map)
    }

    fn load_state_dict(&mut self, state: &Json) -> Result<()> {
        load_state(self, state)
    }

    fn load(&mut self, state: &Json, commit: bool) -> Result<(), String> {
        let map = state.as_object().ok_or("the state is no object")?;
        let last_lr = super::state::entry(map, "_last_lr")?;
        load_children(&mut self.schedulers, map, commit)?;
        if commit {
            self.last_lr = last_lr;
        }
        Ok(())
    }

    #[track_caller]
    fn initial_step(&mut self, optimizer: &mut dyn Optimizer) {
        self.step(optimizer);
    }

    fn undo(&mut self) {
        self.schedulers.iter_mut().for_each(|s| s.undo());
    }

    #[track_caller]
    fn restart(&mut self, optimizer: &mut dyn Optimizer) {
        self.schedulers.iter_mut().for_each(|s| s.restart(optimizer));
        self.note();
    }
}

fn children(schedulers: &[Box<dyn LRScheduler>]) -> Map<String, Json> {
    let list = schedulers.iter().map(|s| s.state_dict()).collect();
    [("_schedulers".to_string(), Json::Array(list))].into_iter().collect()
}

fn load_children(schedulers: &mut [Box<dyn LRScheduler>], map: &Map<String, Json>, commit: bool) -> Result<(), String> {
    let list = map.get("_schedulers").and_then(Json::as_array).ok_or("\"_schedulers\" is missing")?;
    if list.len() != schedulers.len() {
        return Err(format!("the state has {} schedules, there are {}", list.len(), schedulers.len()));
    }
    for (i, (scheduler, state)) in schedulers.iter_mut().zip(list).enumerate() {
        scheduler.load(state, commit).map_err(|e| format!("schedule {i}: {e}"))?;
    }
    Ok(())
}
