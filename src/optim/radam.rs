//! RAdam.

use super::adam::kept;
use super::core::optimizer;
use super::options::OptionValue::{Number, Pair, Switch};
use crate::ops::optim::clock::{Numbers, STEP};
use crate::ops::optim::radam::{RadamStep, step};

optimizer! {
    /// RAdam (Liu et al., 2019): Adam that goes without the division while it has seen too few squares.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.RAdam.html>
    RAdam, "RAdam";
    options {
        /// How much of the averages of the gradient and of its square is kept (0.9, 0.999).
        betas: (f64, f64) = Pair(0.9, 0.999), |(a, b)| (0.0..1.0).contains(&a) && (0.0..1.0).contains(&b),
            "both must be at least 0 and below 1";
        /// Added to the divisor (1e-8).
        eps: f64 = Number(1e-08), |v| v >= 0.0, "it must not be negative";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// Let the weight decay shrink the parameter directly, as AdamW does (false).
        decoupled_weight_decay: bool = Switch(false), |_| true, "it is true or false";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |_| &["exp_avg", "exp_avg_sq"],
        scalars: &[("step", STEP)],
        initial: |_, _| 0.0,
        clock: |o| {
            let keep = if o.switch("decoupled_weight_decay") { kept(o) } else { 1.0 };
            Some(Numbers::Radam { betas: o.pair("betas"), keep })
        },
        update: |o, u| {
            let (beta1, beta2) = o.pair("betas");
            let numbers = RadamStep {
                beta1,
                beta2,
                eps: o.number("eps"),
                weight_decay: o.number("weight_decay"),
                decoupled: o.switch("decoupled_weight_decay"),
                maximize: o.switch("maximize"),
            };
            step(u.span, &numbers, [u.gradients, u.values, u.state[0], u.state[1], u.clock])
        },
    }
}
