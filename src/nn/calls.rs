//! A list of the modules that are called, with the shapes of what they give.

use std::any::Any;
use std::cell::RefCell;

use super::graph::tensors;
use super::hooks::Detour;
use crate::engine::place;

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
    struct Restore(Option<Vec<Called>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CALLS.set(self.0.take());
        }
    }
    let _detour = Detour::new();
    let _restore = Restore(CALLS.replace(Some(Vec::new())));
    let result = body();
    (result, CALLS.take().unwrap_or_default())
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
