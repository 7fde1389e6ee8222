//! A list of the modules that are called, with the shapes of what they give.

use std::any::Any;
use std::cell::RefCell;

use super::graph::tensors;
use super::hooks::Detour;
use crate::engine::place;
use crate::scoped;

/// A call of a module.
pub(super) struct Called {
    /// The module's path in the outermost one.
    pub path: String,
    /// The shape of each tensor that it gave, as far as its output is known to hold some.
    pub shapes: Vec<Vec<usize>>,
}

thread_local! {
    static CALLS: RefCell<Option<Vec<Called>>> = const { RefCell::new(None) };
}

/// Runs `body` and lists the modules that this thread calls in it, each after those that it calls itself.
pub(super) fn record<R>(body: impl FnOnce() -> R) -> (R, Vec<Called>) {
    let _detour = Detour::new();
    let (result, calls) = scoped::replace(&CALLS, Some(Vec::new()), body);
    (result, calls.unwrap_or_default())
}

/// Adds the module that is running to the list, if there is one.
pub(super) fn notice(output: &dyn Any) {
    CALLS.with_borrow_mut(|calls| {
        if let Some(calls) = calls {
            let shapes = tensors(output).iter().map(|tensor| tensor.shape().to_vec()).collect();
            calls.push(Called { path: place::path_of(&place::frames()), shapes });
        }
    });
}
