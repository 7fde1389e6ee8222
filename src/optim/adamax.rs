//! Adamax.

use super::core::optimizer;
use super::options::OptionValue::{Number, Pair, Switch};
use crate::ops::optim::adamax::{AdamaxStep, step};
use crate::ops::optim::clock::{Numbers, STEP};

optimizer! {
    /// Adamax (Kingma and Ba, 2014): Adam with the largest gradient, slowly forgotten, in the place of the average square.
    /// PyTorch's default learning rate is 2e-3.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.Adamax.html>
    Adamax, "Adamax";
    options {
        /// How much of the averages of the gradient and of its size is kept (0.9, 0.999).
        betas: (f64, f64) = Pair(0.9, 0.999), |(a, b)| (0.0..1.0).contains(&a) && (0.0..1.0).contains(&b),
            "both must be at least 0 and below 1";
        /// Added to the size of a gradient (1e-8).
        eps: f64 = Number(1e-08), |v| v >= 0.0, "it must not be negative";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |_| &["exp_avg", "exp_inf"],
        scalars: &[("step", STEP)],
        initial: |_, _| 0.0,
        clock: |o| Some(Numbers::Adam { betas: o.pair("betas"), keep: 1.0 }),
        update: |o, u| {
            let (beta1, beta2) = o.pair("betas");
            let numbers = AdamaxStep {
                beta1,
                beta2,
                eps: o.number("eps"),
                weight_decay: o.number("weight_decay"),
                maximize: o.switch("maximize"),
            };
            step(u.span, &numbers, [u.gradients, u.values, u.state[0], u.state[1], u.clock])
        },
    }
}
