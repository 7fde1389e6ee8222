//! Computing in floats of half the width where that is safe: [`autocast`](crate::autocast()).
//!
//! <https://docs.pytorch.org/docs/stable/amp.html>

mod autocast;
mod lists;

pub use autocast::{autocast, autocast_dtype, no_autocast};
pub(crate) use autocast::{autocast_to, forget_converted, with_autocast, with_autocast_paused};
