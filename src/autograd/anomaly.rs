//! Finding the operation that makes the first NaN or infinity.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use super::no_grad;
use super::node::Node;
use crate::dtype::HostData;
use crate::engine::{fault, place};
use crate::ops::{Attr, Attrs, Operation, Outputs};
use crate::tensor::Tensor;
use crate::{Error, Result, scoped};

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static FOUND: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Runs `body` and looks at the result of every operation, forward and backward: the first that makes NaN from numbers or
/// an infinity from finite ones is the error, with its module's path, the user's line and its shapes. In a backward pass
/// the place is that of the forward call.
///
/// What was NaN or infinite in the inputs or arguments already, such as the -∞ of a mask, is not blamed. The mode reads
/// back every result and is slow; it is the thread's own, and does not look at writes in place.
/// <https://pytorch.org/docs/stable/autograd.html#anomaly-detection>
///
/// ```
/// use lumigrad::{autograd::detect_anomaly, prelude::*};
/// let x = Tensor::from_slice(&[1.0f32, 0.0], &[2]).requires_grad();
/// let error = detect_anomaly(|| x.sqrt().sum().backward()).unwrap_err().to_string();
/// assert!(error.contains("sqrt") && error.contains("infinity"), "{error}");
/// ```
///
/// # Errors
/// [`Error::Anomaly`] for the first one found, although `body` may have gone on; otherwise what `body` returns.
pub fn detect_anomaly<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    let (result, found) = scoped::replace(&FOUND, None, || scoped::set(&ON, true, body));
    match found {
        Some(error) => Err(error),
        None => result,
    }
}

/// Whether this thread looks for anomalies.
pub(crate) fn is_on() -> bool {
    ON.get()
}

/// Runs `body` without looking: what an operation does inside is its own affair.
pub(super) fn paused<R>(body: impl FnOnce() -> R) -> R {
    scoped::set(&ON, false, body)
}

/// Where an operation was called.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: Option<String>,
    line: &'static Location<'static>,
}

impl Place {
    /// Here, when anomalies are looked for.
    #[track_caller]
    pub fn here() -> Option<Box<Place>> {
        is_on().then(|| Box::new(Place { path: place::path(), line: fault::users_line() }))
    }

    fn describe(&self) -> String {
        let path = self.path.as_ref().map(|path| format!("in {path}, ")).unwrap_or_default();
        format!("{path}at {}:{}", self.line.file(), self.line.line())
    }
}

/// What is not a finite number.
#[derive(Clone, Copy, Default)]
struct Kinds {
    nan: bool,
    infinity: bool,
}

impl Kinds {
    fn of<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Kinds> {
        let mut kinds = Kinds::default();
        for tensor in tensors {
            if !tensor.dtype().is_float() {
                continue;
            }
            if let HostData::F32(values) | HostData::F16(values) | HostData::BF16(values) = values(tensor)? {
                kinds.nan |= values.iter().any(|v| v.is_nan());
                kinds.infinity |= values.iter().any(|v| v.is_infinite());
            }
        }
        Ok(kinds)
    }

    fn with_arguments(mut self, attrs: &Attrs) -> Kinds {
        for (_, attr) in attrs.iter() {
            if let Attr::Float(v) = attr {
                self.nan |= v.is_nan();
                self.infinity |= v.is_infinite();
            }
        }
        self
    }
}

fn values(tensor: &Tensor) -> Result<HostData> {
    paused(|| no_grad(|| tensor.to_host()))
}

/// The first element of a result that its inputs do not explain.
fn anomaly(result: &Tensor, inputs: Kinds) -> Result<Option<String>> {
    let (HostData::F32(values) | HostData::F16(values) | HostData::BF16(values)) = values(result)? else {
        return Ok(None);
    };
    let blamed = |v: &f64| v.is_nan() && !inputs.nan || v.is_infinite() && !inputs.infinity && !inputs.nan;
    let Some(at) = values.iter().position(blamed) else { return Ok(None) };
    let mut rest = at;
    let mut index: Vec<usize> = result.shape().iter().rev().map(|&size| (rest % size, rest /= size).0).collect();
    index.reverse();
    let what = if values[at].is_nan() { "NaN" } else { "an infinity" };
    Ok(Some(format!("{what} at {index:?} of {:?}", result.shape())))
}

fn found(error: Error) -> Error {
    FOUND.with_borrow_mut(|first| first.get_or_insert_with(|| error.clone()).clone())
}

/// Looks at what an operation gave: an anomaly poisons it.
#[track_caller]
pub(crate) fn check_forward(
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: &Attrs,
    outputs: Outputs,
) -> Result<Outputs> {
    let fine = |t: &Tensor| t.poison().is_some() || !t.dtype().is_float();
    if outputs.iter().all(fine) {
        return Ok(outputs);
    }
    let before = Kinds::of(inputs.iter().copied())?.with_arguments(attrs);
    for output in outputs.iter().filter(|t| !fine(t)) {
        if let Some(what) = anomaly(output, before)? {
            let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
            let place = Place { path: place::path(), line: fault::users_line() }.describe();
            let detail = format!("gives {what} from inputs of shape {shapes:?}, {place}");
            let error = found(Error::Anomaly { op: operation.name, detail });
            let poisoned =
                |t: &Tensor| Tensor::from_content(Err(error.clone()), t.shape().into(), t.dtype(), t.device().clone());
            return Ok(outputs.iter().map(poisoned).collect());
        }
    }
    Ok(outputs)
}

/// Looks at the gradients that a node gave for its inputs.
pub(super) fn check_backward<'a>(
    node: &Node,
    read: impl IntoIterator<Item = &'a Tensor>,
    results: &[Option<Tensor>],
) -> Result<()> {
    let before = Kinds::of(read)?.with_arguments(&node.attrs);
    for (i, result) in results.iter().enumerate() {
        let Some(result) = result else { continue };
        if let Some(what) = anomaly(result, before)? {
            let shapes: Vec<&[usize]> = node.inputs.iter().map(|edge| &edge.shape[..]).collect();
            let place = match &node.place {
                Some(place) => format!("called {}", place.describe()),
                None => "called outside of `detect_anomaly`".into(),
            };
            let detail = format!("its backward gives {what} for input {i}; inputs of shape {shapes:?}, {place}");
            return Err(found(Error::Anomaly { op: node.operation.name, detail }));
        }
    }
    Ok(())
}
