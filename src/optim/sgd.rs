//! Stochastic gradient descent.

use super::core::optimizer;
use super::options::OptionValue::{Number, Switch};
use crate::ops::optim::clock::Numbers;
use crate::ops::optim::sgd::{SgdStep, step};

optimizer! {
    /// Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay as options.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.SGD.html>
    SGD, "SGD";
    options {
        /// How much of the last direction is kept (0).
        momentum: f64 = Number(0.0), |m| m >= 0.0, "it must not be negative";
        /// How much of a new gradient is left out of the momentum (0).
        dampening: f64 = Number(0.0), |d| d.is_finite(), "it must be finite";
        /// The factor of the parameter that is added to its gradient (0).
        weight_decay: f64 = Number(0.0), |w| w >= 0.0, "it must not be negative";
        /// Nesterov's form of the momentum (false); needs momentum and no dampening.
        nesterov: bool = Switch(false), |_| true, "it is true or false";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |o| {
            let wrong = o.switch("nesterov") && (o.number("momentum") <= 0.0 || o.number("dampening") != 0.0);
            wrong.then_some("nesterov needs a momentum above 0 and a dampening of 0")
        },
        state: |o| if o.number("momentum") > 0.0 { &["momentum_buffer"] } else { &[] },
        scalars: &[],
        initial: |_, _| 0.0,
        // The clock counts the updates of the momentum, whose first one is the gradient itself.
        clock: |o| (o.number("momentum") > 0.0).then_some(Numbers::Count { decay: 0.0 }),
        update: |o, u| {
            let numbers = SgdStep {
                lr: o.number("lr"),
                momentum: o.number("momentum"),
                dampening: o.number("dampening"),
                weight_decay: o.number("weight_decay"),
                nesterov: o.switch("nesterov"),
                maximize: o.switch("maximize"),
            };
            match u.state[..] {
                [velocity] => step(u.span, &numbers, &[u.gradients, u.values, velocity, u.clock]),
                _ => {
                    let inputs: Vec<_> = [u.gradients, u.values].into_iter().chain(u.found).collect();
                    step(u.span, &numbers, &inputs)
                }
            }
        },
    }
}
