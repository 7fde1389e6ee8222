//! A list of the operations that run: what a graph or a summary of a model is made from.

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

use super::{Attrs, Operation};
use crate::engine::place::{self, short};
use crate::scoped;
use crate::tensor::Tensor;

/// A module that was running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Its path in the outermost one, and empty for that one itself.
    pub path: String,
    /// Its type's name, such as `Linear`.
    pub type_name: &'static str,
}

/// An operation that has run.
///
/// It keeps its tensors: as long as the list lives, two tensors of it are one value if and only if they are the same place
/// of the same storage ([`Tensor::is_same_place`]).
pub(crate) struct Observed {
    pub operation: &'static Operation,
    pub inputs: SmallVec<[Tensor; 2]>,
    pub attrs: Attrs,
    pub outputs: SmallVec<[Tensor; 1]>,
    /// The modules that were running, outermost first.
    pub scopes: Vec<Scope>,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static LIST: RefCell<Vec<Observed>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` and lists the operations that this thread runs in it, in order. What an operation does inside is its own
/// affair, and what a backward pass runs is listed too.
pub(crate) fn observe<R>(body: impl FnOnce() -> R) -> (R, Vec<Observed>) {
    scoped::replace(&LIST, Vec::new(), || scoped::set(&ON, true, body))
}

/// Whether this thread lists its operations.
pub(super) fn is_on() -> bool {
    ON.get()
}

/// Runs the inside of an operation, whose own operations are not listed.
pub(super) fn paused<R>(body: impl FnOnce() -> R) -> R {
    scoped::set(&ON, false, body)
}

/// Adds to the list.
pub(super) fn notice(operation: &'static Operation, inputs: &[&Tensor], attrs: Attrs, outputs: &[Tensor]) {
    let frames = place::frames();
    let scope =
        |n: usize| Scope { path: place::path_of(&frames[..=n]), type_name: short(frames[n].identity.type_name) };
    let observed = Observed {
        operation,
        inputs: inputs.iter().map(|&t| t.clone()).collect(),
        attrs,
        outputs: outputs.iter().cloned().collect(),
        scopes: (0..frames.len()).map(scope).collect(),
    };
    LIST.with_borrow_mut(|list| list.push(observed));
}
