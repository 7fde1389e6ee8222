//! Gradients: the graph that operations leave behind and the walk back through it.

pub(crate) mod anomaly;
mod backward;
pub(crate) mod checkpoint;
mod function;
mod gradcheck;
pub(crate) mod hooks;
mod leaf;
mod node;

use std::cell::Cell;

pub use anomaly::detect_anomaly;
pub use backward::{Backward, grad};
pub use checkpoint::{checkpoint, is_recomputing, try_checkpoint};
pub use function::{Function, ToSave};
pub use gradcheck::{GradcheckOptions, gradcheck};
pub use hooks::HookHandle;
pub(crate) use leaf::Leaf;
pub(crate) use node::{Edge, Node, SavedTensor, Step, Target, VjpFunction};

use crate::scoped;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Whether operations of this thread are recorded for gradients.
pub fn is_grad_enabled() -> bool {
    ENABLED.get()
}

/// Runs `body` without recording for gradients on this thread, as `torch.no_grad()` does.
///
/// ```
/// use lumigrad::{no_grad, prelude::*};
/// let w = Tensor::scalar(1.0).requires_grad();
/// let y = no_grad(|| &w * 2.0);
/// assert!(!y.is_requires_grad());
/// ```
pub fn no_grad<R>(body: impl FnOnce() -> R) -> R {
    scoped::set(&ENABLED, false, body)
}

/// Runs `body` with recording for gradients on, inside of [`no_grad`] too.
pub fn enable_grad<R>(body: impl FnOnce() -> R) -> R {
    scoped::set(&ENABLED, true, body)
}
