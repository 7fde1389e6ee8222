//! Running a part of a program again in the backward pass instead of keeping what its gradients need.

use std::cell::Cell;

use super::{SavedTensor, Step, is_grad_enabled, no_grad};
use crate::amp::{autocast_dtype, with_autocast};
use crate::engine::tape;
use crate::ops::{Attrs, Operation, attach, or_panic};
use crate::tensor::Tensor;
use crate::{Error, Result, scoped};

static CHECKPOINT: Operation = Operation::of_closures("checkpoint");

thread_local! {
    /// Whether an operation that was not recorded had an input that needs a gradient; `None` when nobody asks.
    static NEEDED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Tells a checkpoint round this operation, if there is one, that its outputs need a gradient.
pub(crate) fn notice(needs_gradient: impl FnOnce() -> bool) {
    if NEEDED.get() == Some(false) && needs_gradient() {
        NEEDED.set(Some(true));
    }
}

/// Runs `function` without keeping what its gradients need, and runs it a second time when a backward pass comes to it:
/// less memory for more time. <https://pytorch.org/docs/stable/checkpoint.html>
///
/// The gradients are the same to the bit: dropout drops the same elements, modules are trained or not as they were the
/// first time, and sums are added in the same order. Batch norm's running statistics take a batch once.
///
/// What the function captures lives until the backward pass is done, so a layer is cloned into it (clones share their
/// parameters) or held by an `Arc`; [`crate::nn::Checkpoint`] does that for a module. Parameters that the function uses
/// get their gradients as always.
///
/// ```
/// use lumigrad::{autograd::checkpoint, nn, prelude::*};
/// let layer = nn::Linear::new(8, 8);
/// let x = Tensor::randn(&[4, 8]);
/// let own = layer.clone();
/// let y = checkpoint(move |x| own.call(&x[0]).relu().dropout(0.5, true), &[&x]);
/// y.sum().backward()?;
/// assert!(layer.weight.grad().is_some());
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Panics
/// What `function` panics with.
#[track_caller]
pub fn checkpoint(function: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static, inputs: &[&Tensor]) -> Tensor {
    let outputs = try_checkpoint(move |inputs| Ok(vec![function(inputs)]), inputs);
    or_panic(outputs.map(|mut list| list.remove(0)))
}

/// [`checkpoint`] of a function with several outputs, or with mistakes as errors.
///
/// # Errors
/// What `function` returns. The backward pass fails when the function asks for other random numbers or gives other shapes
/// the second time, or when an input was changed in place.
pub fn try_checkpoint(
    function: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    inputs: &[&Tensor],
) -> Result<Vec<Tensor>> {
    let given: Vec<Tensor> = inputs.iter().map(|&t| t.clone()).collect();
    if !is_grad_enabled() {
        return function(&given);
    }
    let (needed, (outputs, drawn)) = watch_needs(|| tape::record(|| no_grad(|| function(&given))));
    let outputs: Vec<Tensor> = outputs?;
    let passed_on = |t: &Tensor| t.is_requires_grad();
    if !needed && !outputs.iter().any(passed_on) {
        return Ok(outputs);
    }
    let saved = inputs.iter().map(|t| SavedTensor::new(t)).collect();
    let autocast = autocast_dtype();
    let again = move |inputs: &[Tensor]| {
        let again = || with_autocast(autocast, || function(inputs));
        tape::replay(&drawn, again).unwrap_or_else(|| {
            Err(Error::Autograd(
                "checkpoint: the function asks for other random numbers, or for other modules' modes, when it is run again"
                    .into(),
            ))
        })
    };
    let outputs = outputs.into_iter().map(|t| t.detach()).collect();
    let step = Some(Step::Recompute(Box::new(again)));
    Ok(attach(&CHECKPOINT, inputs, Attrs::new(), saved, outputs, step).into_vec())
}

/// Runs `body` and tells whether anything in it needed a gradient.
fn watch_needs<R>(body: impl FnOnce() -> R) -> (bool, R) {
    let (needed, result) = scoped::set(&NEEDED, Some(false), || {
        let result = body();
        (NEEDED.get() == Some(true), result)
    });
    notice(|| needed);
    (needed, result)
}

/// Whether this thread runs a part of a program again for its gradients: a layer that keeps statistics of the batches it
/// sees has seen this one already.
pub fn is_recomputing() -> bool {
    tape::is_replaying()
}
