//! ASGD.

use super::core::optimizer;
use super::options::OptionValue::{Number, Switch};
use crate::ops::optim::asgd::{AsgdStep, step};
use crate::ops::optim::clock::{KEPT, Numbers, STEP};

optimizer! {
    /// Averaged stochastic gradient descent (Polyak and Juditsky, 1992). The average is the entry `ax` of the state.
    /// PyTorch's default learning rate is 1e-2.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.ASGD.html>
    ASGD, "ASGD";
    options {
        /// How fast parameters decay (1e-4).
        lambd: f64 = Number(0.0001), |v| v >= 0.0, "it must not be negative";
        /// The power by which the learning rate falls (0.75).
        alpha: f64 = Number(0.75), |v| v.is_finite(), "it must be finite";
        /// The step at which averaging starts (1e6).
        t0: f64 = Number(1000000.0), |v| v.is_finite(), "it must be finite";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |_| &["ax"],
        scalars: &[("step", STEP), ("eta", KEPT), ("mu", KEPT + 1)],
        initial: |o, name| match name {
            "eta" => o.number("lr"),
            "mu" => 1.0,
            _ => 0.0,
        },
        clock: |o| {
            let (lambd, alpha, t0) = (o.number("lambd"), o.number("alpha"), o.number("t0"));
            Some(Numbers::Asgd { lambd, alpha, t0 })
        },
        update: |o, u| {
            let numbers = AsgdStep { weight_decay: o.number("weight_decay"), maximize: o.switch("maximize") };
            step(u.span, &numbers, [u.gradients, u.values, u.state[0], u.clock])
        },
    }
}
