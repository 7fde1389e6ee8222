//! Stochastic gradient descent.

use super::arena::Arenas;
use super::{Optimizer, check_lr, options};
use crate::Result;
use crate::nn::Parameter;
use crate::ops::optim::sgd::{SgdStep, step};

/// Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay as options.
///
/// <https://pytorch.org/docs/stable/generated/torch.optim.SGD.html>
pub struct Sgd {
    arenas: Arenas,
    with_velocity: bool,
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
}

impl Sgd {
    /// Plain descent with this learning rate.
    ///
    /// # Panics
    /// When the learning rate is negative.
    #[track_caller]
    pub fn new(parameters: impl IntoIterator<Item = Parameter>, lr: f64) -> Self {
        Sgd {
            arenas: Arenas::new(parameters, 0),
            with_velocity: false,
            lr: check_lr(lr),
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            maximize: false,
        }
    }

    options! {
        /// How much of the last direction is kept (0).
        momentum: f64, |m| m >= 0.0, "it must not be negative";
        /// How much of a new gradient is left out of the momentum (0).
        dampening: f64, |d| d.is_finite(), "it must be finite";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64, |w| w >= 0.0, "it must not be negative";
        /// Nesterov's form of the momentum (false); needs momentum and no dampening.
        nesterov: bool, |_| true, "anything";
        /// Climb instead of descend (false).
        maximize: bool, |_| true, "anything";
    }
}

impl Optimizer for Sgd {
    fn step(&mut self) -> Result<()> {
        if self.nesterov && (self.momentum <= 0.0 || self.dampening != 0.0) {
            return Err(crate::Error::argument("Sgd", "nesterov needs a momentum above 0 and a dampening of 0"));
        }
        if self.momentum > 0.0 && !self.with_velocity {
            self.arenas.add_states(1);
            self.with_velocity = true;
        }
        let numbers = SgdStep {
            lr: self.lr,
            momentum: self.momentum,
            dampening: self.dampening,
            weight_decay: self.weight_decay,
            nesterov: self.nesterov,
            maximize: self.maximize,
            first_step: false,
        };
        let momentum = self.momentum > 0.0;
        self.arenas.step(|u| {
            let numbers = SgdStep { first_step: u.step == 1, ..numbers };
            step(u.span, &numbers, u.gradients, u.values, u.state.first().filter(|_| momentum))
        })
    }

    fn zero_grad(&self) {
        self.arenas.zero_grad();
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }
}
