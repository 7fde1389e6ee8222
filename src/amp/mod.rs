//! Computing in floats of half the width where that is safe: [`autocast`](crate::autocast()), and the [`GradScaler`] that f16 needs.
//!
//! <https://docs.pytorch.org/docs/stable/amp.html>

mod autocast;
mod lists;
mod scaler;

pub use autocast::{autocast, autocast_dtype, no_autocast};
pub(crate) use autocast::{autocast_to, forget_converted, half, single, with_autocast, with_autocast_paused};
pub use scaler::{GradScaler, GradScalerState};
