//! Adam and AdamW.

use super::arena::Arenas;
use super::{Optimizer, check_lr, options};
use crate::Result;
use crate::nn::Parameter;
use crate::ops::optim::adam::{AdamStep, step};

/// Declares one of the two; they differ in the weight decay.
macro_rules! adam {
    ($(#[$meta:meta])* $name:ident, decoupled: $decoupled:literal, weight_decay: $decay:literal) => {
        $(#[$meta])*
        pub struct $name {
            arenas: Arenas,
            lr: f64,
            betas: (f64, f64),
            eps: f64,
            weight_decay: f64,
            maximize: bool,
        }

        impl $name {
            /// With PyTorch's defaults but for the learning rate.
            ///
            /// # Panics
            /// When the learning rate is negative.
            #[track_caller]
            pub fn new(parameters: impl IntoIterator<Item = Parameter>, lr: f64) -> Self {
                let arenas = Arenas::new(parameters, 2);
                $name { arenas, lr: check_lr(lr), betas: (0.9, 0.999), eps: 1e-8, weight_decay: $decay, maximize: false }
            }

            options! {
                /// How much of the averages of the gradient and of its square is kept (0.9, 0.999).
                betas: (f64, f64), |(a, b)| (0.0..1.0).contains(&a) && (0.0..1.0).contains(&b),
                    "both must be at least 0 and below 1";
                /// Added to the divisor (1e-8).
                eps: f64, |e| e >= 0.0, "it must not be negative";
                #[doc = concat!("The weight decay (", stringify!($decay), ").")]
                weight_decay: f64, |w| w >= 0.0, "it must not be negative";
                /// Climb instead of descend (false).
                maximize: bool, |_| true, "anything";
            }
        }

        impl Optimizer for $name {
            fn step(&mut self) -> Result<()> {
                let numbers = AdamStep {
                    lr: self.lr,
                    betas: self.betas,
                    eps: self.eps,
                    weight_decay: self.weight_decay,
                    decoupled: $decoupled,
                    maximize: self.maximize,
                    step: 0,
                };
                self.arenas.step(|u| {
                    let numbers = AdamStep { step: u.step, ..numbers };
                    step(u.span, &numbers, [u.gradients, u.values, &u.state[0], &u.state[1]])
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
    };
}

adam!(
    /// Adam (Kingma and Ba, 2014): steps by the average gradient over the root of the average squared one. Weight decay
    /// is added to the gradient. <https://pytorch.org/docs/stable/generated/torch.optim.Adam.html>
    Adam, decoupled: false, weight_decay: 0.0
);
adam!(
    /// AdamW (Loshchilov and Hutter, 2017): Adam whose weight decay shrinks the parameter directly.
    /// <https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html>
    AdamW, decoupled: true, weight_decay: 0.01
);
