//! Rprop.

use super::core::optimizer;
use super::options::OptionValue::{Pair, Switch};
use crate::ops::optim::clock::{Numbers, STEP};
use crate::ops::optim::rprop::{RpropStep, step};

optimizer! {
    /// Rprop (Riedmiller and Braun, 1993): steps by the sign of the gradient, with a step size for each element that grows
    /// while the sign stays and shrinks when it changes; the learning rate is what it starts from. For whole data sets, not
    /// for batches. PyTorch's default learning rate is 1e-2.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.optim.Rprop.html>
    Rprop, "Rprop";
    options {
        /// The factors by which step sizes shrink and grow (0.5, 1.2).
        etas: (f64, f64) = Pair(0.5, 1.2), |(a, b)| 0.0 < a && a < 1.0 && 1.0 < b,
            "the first must be between 0 and 1 and the second above 1";
        /// The smallest and the largest step size (1e-6, 50).
        step_sizes: (f64, f64) = Pair(1e-6, 50.0), |(a, b)| a <= b, "the first must not be above the second";
        /// Climb instead of descend (false).
        maximize: bool = Switch(false), |_| true, "it is true or false";
    }
    rule {
        check: |_| None,
        state: |_| &["prev", "step_size"],
        scalars: &[("step", STEP)],
        initial: |o, name| if name == "step_size" { o.number("lr") } else { 0.0 },
        clock: |_| Some(Numbers::Count { decay: 0.0 }),
        update: |o, u| {
            let ((shrink, grow), (smallest, largest)) = (o.pair("etas"), o.pair("step_sizes"));
            let numbers = RpropStep { shrink, grow, smallest, largest, maximize: o.switch("maximize") };
            step(u.span, &numbers, [u.gradients, u.values, u.state[0], u.state[1], u.clock])
        },
    }
}
