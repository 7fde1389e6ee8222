//! Schedules along a cosine.

use std::f64::consts::PI;

use serde_json::{Map, Value as Json};

use super::basic::stored;
use super::state::state;
use super::{Epoch, Optimizer, Schedule, Scheduler};

/// Lets the rates fall along half a cosine, and rise again after `t_max` epochs.
///
/// Loshchilov and Hutter (2017), without the restarts.
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html>
#[derive(Clone, Debug)]
pub struct CosineAnnealingLR {
    t_max: i64,
    eta_min: f64,
}

impl CosineAnnealingLR {
    /// Over so many epochs, to 0.
    ///
    /// # Panics
    /// When `t_max` is 0.
    #[track_caller]
    pub fn new(t_max: usize) -> CosineAnnealingLR {
        assert!(t_max > 0, "CosineAnnealingLR: t_max must not be 0");
        CosineAnnealingLR { t_max: t_max as i64, eta_min: 0.0 }
    }

    /// The smallest rate (0).
    pub fn eta_min(self, eta_min: f64) -> CosineAnnealingLR {
        CosineAnnealingLR { eta_min, ..self }
    }

    fn cosine(&self, epoch: i64) -> f64 {
        (PI * epoch as f64 / self.t_max as f64).cos()
    }

    state!(save, read; "T_max" => t_max, "eta_min" => eta_min);
}

impl Schedule for CosineAnnealingLR {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.initial {
            return at.same();
        }
        if (at.epoch - 1 - self.t_max).rem_euclid(2 * self.t_max) == 0 {
            // The last rate was the smallest: a factor would not bring it back.
            let rise = |base: &f64| (base - self.eta_min) * (1.0 - (PI / self.t_max as f64).cos()) / 2.0;
            return at.base_lrs.iter().zip(at.lrs).map(|(base, lr)| lr + rise(base)).collect();
        }
        let factor = (1.0 + self.cosine(at.epoch)) / (1.0 + self.cosine(at.epoch - 1));
        at.lrs.iter().map(|lr| factor * (lr - self.eta_min) + self.eta_min).collect()
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let height = (1.0 + self.cosine(at.epoch)) / 2.0;
        at.base_lrs.iter().map(|base| self.eta_min + (base - self.eta_min) * height).collect()
    }

    stored!();
}

/// Lets the rates fall along half a cosine again and again, each time from the start.
///
/// Loshchilov and Hutter (2017).
/// <https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.html>
#[derive(Clone, Debug)]
pub struct CosineAnnealingWarmRestarts {
    t_0: i64,
    t_mult: i64,
    eta_min: f64,
    /// The length of this fall, and how far it is; a fraction with [`Scheduler::step_to`].
    t_i: i64,
    t_cur: f64,
}

impl CosineAnnealingWarmRestarts {
    /// Every so many epochs, to 0.
    ///
    /// # Panics
    /// When `t_0` is 0.
    #[track_caller]
    pub fn new(t_0: usize) -> CosineAnnealingWarmRestarts {
        assert!(t_0 > 0, "CosineAnnealingWarmRestarts: t_0 must not be 0");
        let t_0 = t_0 as i64;
        CosineAnnealingWarmRestarts { t_0, t_mult: 1, eta_min: 0.0, t_i: t_0, t_cur: 0.0 }
    }

    /// How many times longer each fall is than the one before (1).
    ///
    /// # Panics
    /// When it is 0.
    #[track_caller]
    pub fn t_mult(self, t_mult: usize) -> CosineAnnealingWarmRestarts {
        assert!(t_mult > 0, "CosineAnnealingWarmRestarts: t_mult must not be 0");
        CosineAnnealingWarmRestarts { t_mult: t_mult as i64, ..self }
    }

    /// The smallest rate (0).
    pub fn eta_min(self, eta_min: f64) -> CosineAnnealingWarmRestarts {
        CosineAnnealingWarmRestarts { eta_min, ..self }
    }

    fn go_to(&mut self, epoch: f64) {
        (self.t_i, self.t_cur) = (self.t_0, epoch);
        let (first, times) = (self.t_0 as f64, self.t_mult as f64);
        if epoch >= first && self.t_mult == 1 {
            self.t_cur = epoch % first;
        } else if epoch >= first {
            let falls = (epoch / first * (times - 1.0) + 1.0).log(times) as i32;
            self.t_cur = epoch - first * (times.powi(falls) - 1.0) / (times - 1.0);
            self.t_i = self.t_0 * self.t_mult.pow(falls as u32);
        }
    }

    state!(save, read; "T_0" => t_0, "T_mult" => t_mult, "eta_min" => eta_min, "T_i" => t_i, "T_cur" => t_cur);
}

impl Schedule for CosineAnnealingWarmRestarts {
    fn get_lr(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        if at.initial {
            self.go_to(0.0);
        } else {
            self.t_cur += 1.0;
            if self.t_cur >= self.t_i as f64 {
                self.t_cur %= self.t_i as f64;
                self.t_i *= self.t_mult;
            }
        }
        self.restart(at)
    }

    fn restart(&mut self, at: &Epoch<'_>) -> Vec<f64> {
        let height = (1.0 + (PI * self.t_cur / self.t_i as f64).cos()) / 2.0;
        at.base_lrs.iter().map(|base| self.eta_min + (base - self.eta_min) * height).collect()
    }

    stored!();
}

impl Scheduler<CosineAnnealingWarmRestarts> {
    /// Sets the rates of any epoch, which may be a fraction: `epoch + batch / batches` after each batch.
    ///
    /// # Panics
    /// When the epoch is negative.
    #[track_caller]
    pub fn step_to(&mut self, optimizer: &mut dyn Optimizer, epoch: f64) {
        assert!(epoch >= 0.0, "step_to: {epoch} given, but epochs are not negative");
        self.schedule.go_to(epoch);
        self.last_epoch = epoch.floor() as i64;
        self.set(optimizer, false, CosineAnnealingWarmRestarts::restart);
    }
}
