//! Adagrad.

use super::core::optimizer;
use super::options::OptionValue::{Number, Switch};
use crate::ops::optim::adagrad::{AdagradStep, step};
use crate::ops::optim::clock::{Numbers, STEP};

optimizer! {
    /// Adagrad (Duchi, Hazan and Singer, 2011): steps by the gradient over the root of the sum of its squares so far.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html>
    Adagrad, "Adagrad";
    options {
        /// How fast the learning rate falls: it is divided by 1 + (step − 1)·lr_decay (0).
        lr_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// What the sums start from (0).
        initial_accumulator_value: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// Added to the divisor (1e-10).
        eps: f64 = Number(1e-10), |v| v >= 0.0, "it must not be negative";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |_| &["sum"],
        scalars: &[("step", STEP)],
        initial: |o, name| if name == "sum" { o.number("initial_accumulator_value") } else { 0.0 },
        clock: |o| Some(Numbers::Count { decay: o.number("lr_decay") }),
        update: |o, u| {
            let numbers = AdagradStep {
                eps: o.number("eps"),
                weight_decay: o.number("weight_decay"),
                maximize: o.switch("maximize"),
            };
            step(u.span, &numbers, [u.gradients, u.values, u.state[0], u.clock])
        },
    }
}
