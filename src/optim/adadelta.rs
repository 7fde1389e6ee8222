//! Adadelta.

use super::core::optimizer;
use super::options::OptionValue::{Number, Switch};
use crate::ops::optim::adadelta::{AdadeltaStep, step};
use crate::ops::optim::clock::{Numbers, STEP};

optimizer! {
    /// Adadelta (Zeiler, 2012): steps by the gradient times the root of the average squared change over that of the average
    /// squared gradient. PyTorch's default learning rate is 1.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.Adadelta.html>
    Adadelta, "Adadelta";
    options {
        /// How much of the averages is kept (0.9).
        rho: f64 = Number(0.9), |v| (0.0..=1.0).contains(&v), "it must be from 0 to 1";
        /// Added to both averages before their roots are taken (1e-6).
        eps: f64 = Number(1e-06), |v| v >= 0.0, "it must not be negative";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |_| &["square_avg", "acc_delta"],
        scalars: &[("step", STEP)],
        initial: |_, _| 0.0,
        clock: |_| Some(Numbers::Count { decay: 0.0 }),
        update: |o, u| {
            let numbers = AdadeltaStep {
                rho: o.number("rho"),
                eps: o.number("eps"),
                weight_decay: o.number("weight_decay"),
                maximize: o.switch("maximize"),
            };
            step(u.span, &numbers, [u.gradients, u.values, u.state[0], u.state[1], u.clock])
        },
    }
}
