//! Optimisers: PyTorch's formulas, one dispatch for all parameters of a device.
//!
//! At its first step an optimiser moves its parameters into memory of its own, side by side, and their gradients are
//! from then on written there. A parameter without gradient is skipped.

mod adam;
mod arena;
mod sgd;

pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

use crate::Result;

/// What updates parameters from their gradients.
///
/// ```
/// use lumigrad::{nn, optim::Adam, prelude::*};
/// let model = nn::Linear::new(3, 1);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// for _ in 0..3 {
///     let loss = model.call(&Tensor::ones(&[8, 3])).powi(2).sum();
///     optimizer.zero_grad();
///     loss.backward()?;
///     optimizer.step()?;
/// }
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub trait Optimizer: Send {
    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    /// A failure of the device.
    fn step(&mut self) -> Result<()>;

    /// Forgets all gradients.
    fn zero_grad(&self);

    /// The learning rate.
    fn lr(&self) -> f64;

    /// Changes the learning rate.
    fn set_lr(&mut self, lr: f64);
}

/// Builder methods that check an option's domain.
macro_rules! options {
    ($($(#[$meta:meta])* $name:ident: $ty:ty, $check:expr, $domain:literal;)*) => {$(
        $(#[$meta])*
        #[doc = concat!("\n\n# Panics\nUnless ", $domain, ".")]
        #[track_caller]
        pub fn $name(mut self, $name: $ty) -> Self {
            let check: fn($ty) -> bool = $check;
            assert!(check($name), concat!(stringify!($name), ": {:?} given, but ", $domain), $name);
            self.$name = $name;
            self
        }
    )*};
}
use options;

#[track_caller]
fn check_lr(lr: f64) -> f64 {
    assert!(lr >= 0.0, "lr: {lr} given, but the learning rate is not negative");
    lr
}
