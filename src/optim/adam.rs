//! Adam and AdamW.

use super::arena::Update;
use super::core::optimizer;
use super::options::OptionValue::{Number, Pair, Switch};
use super::options::Options;
use crate::Result;
use crate::ops::optim::adam::{AdamStep, step};
use crate::ops::optim::clock::{Numbers, STEP};

/// Declares one of the two; they differ in the weight decay.
macro_rules! adam {
    (
        $(#[$meta:meta])* $name:ident, $text:literal, decoupled: $decoupled:expr, weight_decay: $decay:literal;
        $($more:tt)*
    ) => {
        optimizer! {
            $(#[$meta])* $name, $text;
            options {
                /// How much of the averages of the gradient and of its square is kept (0.9, 0.999).
                betas: (f64, f64) = Pair(0.9, 0.999), |(a, b)| (0.0..1.0).contains(&a) && (0.0..1.0).contains(&b),
                    "both must be at least 0 and below 1";
                /// Added to the divisor (1e-8).
                eps: f64 = Number(1e-8), |e| e >= 0.0, "it must not be negative";
                #[doc = concat!("The weight decay (", stringify!($decay), ").")]
                weight_decay: f64 = Number($decay), |w| w >= 0.0, "it must not be negative";
                /// Divide by the largest average of squares so far (false): AMSGrad, Reddi, Kale and Kumar, 2018.
                amsgrad: bool = Switch(false), |_| true, "it is true or false";
                /// Climb instead of descend (false).
                maximize: bool = Switch(false), |_| true, "it is true or false";
                $($more)*
            }
            rule {
                check: |_| None,
                state: |o| match o.switch("amsgrad") {
                    true => &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
                    false => &["exp_avg", "exp_avg_sq"],
                },
                scalars: &[("step", STEP)],
                initial: |_, _| 0.0,
                clock: |o| {
                    let decoupled: fn(&Options) -> bool = $decoupled;
                    let keep = if decoupled(o) { kept(o) } else { 1.0 };
                    Some(Numbers::Adam { betas: o.pair("betas"), keep })
                },
                update: |o, u| {
                    let decoupled: fn(&Options) -> bool = $decoupled;
                    update(o, u, decoupled(o))
                },
            }
        }
    };
}

/// What decoupled weight decay leaves of a parameter.
pub(super) fn kept(options: &Options) -> f64 {
    1.0 - options.number("lr") * options.number("weight_decay")
}

fn update(o: &Options, u: &Update<'_>, decoupled: bool) -> Result<()> {
    let (beta1, beta2) = o.pair("betas");
    let numbers = AdamStep {
        beta1,
        beta2,
        eps: o.number("eps"),
        weight_decay: o.number("weight_decay"),
        decoupled,
        maximize: o.switch("maximize"),
    };
    let mut arena = vec![u.gradients, u.values, u.state[0], u.state[1], u.clock];
    arena.extend(u.state.get(2));
    step(u.span, &numbers, &arena)
}

adam!(
    /// Adam (Kingma and Ba, 2014): steps by the average gradient over the root of the average squared one. Weight decay
    /// is added to the gradient unless it is decoupled. <https://pytorch.org/docs/stable/generated/torch.optim.Adam.html>
    Adam, "Adam", decoupled: |o| o.switch("decoupled_weight_decay"), weight_decay: 0.0;
    /// Let the weight decay shrink the parameter directly, as AdamW does (false).
    decoupled_weight_decay: bool = Switch(false), |_| true, "it is true or false";
);
adam!(
    /// AdamW (Loshchilov and Hutter, 2017): Adam whose weight decay shrinks the parameter directly.
    /// <https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html>
    AdamW, "AdamW", decoupled: |_| true, weight_decay: 0.01;
);
