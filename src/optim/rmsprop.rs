//! RMSprop.

use super::core::optimizer;
use super::options::OptionValue::{Number, Switch};
use crate::ops::optim::clock::{Numbers, STEP};
use crate::ops::optim::rmsprop::{RmspropStep, step};

optimizer! {
    /// RMSprop (Hinton, 2012): steps by the gradient over the root of its average square, or of its variance where it is
    /// centred (Graves, 2013), with momentum as an option.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.RMSprop.html>
    RMSprop, "RMSprop";
    options {
        /// How much of the averages is kept (0.99).
        alpha: f64 = Number(0.99), |v| v >= 0.0, "it must not be negative";
        /// Added to the divisor (1e-8).
        eps: f64 = Number(1e-08), |v| v >= 0.0, "it must not be negative";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// How much of the last direction is kept (0).
        momentum: f64 = Number(0.0), |v| v >= 0.0, "it must not be negative";
        /// Divide by the root of the variance (false).
        centered: bool = Switch(false), |_| true, "it is true or false";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |o| match (o.switch("centered"), o.number("momentum") > 0.0) {
            (false, false) => &["square_avg"],
            (true, false) => &["square_avg", "grad_avg"],
            (false, true) => &["square_avg", "momentum_buffer"],
            (true, true) => &["square_avg", "grad_avg", "momentum_buffer"],
        },
        scalars: &[("step", STEP)],
        initial: |_, _| 0.0,
        clock: |_| Some(Numbers::Count { decay: 0.0 }),
        update: |o, u| {
            let numbers = RmspropStep {
                alpha: o.number("alpha"),
                eps: o.number("eps"),
                momentum: o.number("momentum"),
                weight_decay: o.number("weight_decay"),
                centered: o.switch("centered"),
                maximize: o.switch("maximize"),
            };
            let mut arena = vec![u.gradients, u.values, u.state[0], u.clock];
            arena.extend(&u.state[1..]);
            step(u.span, &numbers, &arena)
        },
    }
}
