//! Shadow mode: every dispatch runs on the GPU and then, on the GPU's own input bits, in the scalar twin.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use web_time::Instant;

use super::compare::{self, Comparison};
use super::gpu::Gpu;
use super::kernel::Dispatch;
use super::pool::Buffer;
use super::sanitizer::Sanitizer;
use crate::dtype::HostData;
use crate::{Error, Result, scoped};

/// Receives every comparison of a shadow device.
pub type Observer = Arc<dyn Fn(&Comparison) + Send + Sync>;

/// The extra state of a shadow device.
#[derive(Default)]
pub(crate) struct Shadow {
    observer: Mutex<Option<Observer>>,
    /// Dispatches must not interleave: what was read before must still be there when the kernel runs.
    turn: Mutex<()>,
}

impl Shadow {
    /// With an observer a divergence is only reported, without one it is an error.
    pub fn set_observer(&self, observer: Option<Observer>) {
        *self.observer.lock().unwrap_or_else(PoisonError::into_inner) = observer;
    }

    pub fn dispatch(&self, gpu: &Gpu, dispatch: &Dispatch<'_>) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell(dispatch, both(gpu, dispatch)?)
    }

    /// A dispatch on a sanitizer's host buffers.
    pub fn sanitize(&self, sanitizer: &Sanitizer, dispatch: &Dispatch<'_>) -> Result<()> {
        let operands = dispatch.operands;
        let start = Instant::now();
        let before: Vec<HostData> = operands.iter().map(|buffer| (*buffer.on_host().snapshot()).clone()).collect();
        let after = sanitizer.run(dispatch, &before)?;
        let mut comparisons = compare::check(dispatch, before, &after)?;
        comparisons.iter_mut().for_each(|comparison| comparison.nanos = start.elapsed().as_nanos() as u64);
        for (buffer, data) in operands.iter().zip(after) {
            if let Some(data) = data {
                buffer.on_host().put(data);
            }
        }
        self.tell(dispatch, comparisons)
    }

    /// What was found goes to the observer; without one a divergence is an error.
    fn tell(&self, dispatch: &Dispatch<'_>, comparisons: Vec<Comparison>) -> Result<()> {
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if is_comparing() {
            note(&comparisons);
        }
        for comparison in comparisons {
            match &observer {
                Some(observe) => observe(&comparison),
                None if comparison.passed() => {}
                None => return Err(diverged(dispatch.kernel.label(dispatch.variant), &comparison)),
            }
        }
        Ok(())
    }
}

/// Runs a dispatch on the GPU and in the twin.
fn both(gpu: &Gpu, dispatch: &Dispatch<'_>) -> Result<Vec<Comparison>> {
    let &Dispatch { kernel, variant, operands, .. } = dispatch;
    let before = operands.iter().map(|b| read(gpu, b)).collect::<Result<Vec<_>>>()?;
    gpu.prepare(kernel, variant)?;
    let start = Instant::now();
    gpu.dispatch(dispatch)?;
    gpu.synchronize()?;
    let nanos = start.elapsed().as_nanos() as u64;
    let bindings = kernel.bindings.iter().filter(|b| b.is_operand());
    let after = bindings
        .zip(operands)
        .map(|(binding, b)| binding.is_written().then(|| read(gpu, b)).transpose())
        .collect::<Result<Vec<_>>>()?;
    let mut comparisons = compare::check(dispatch, before, &after)?;
    comparisons.iter_mut().for_each(|comparison| comparison.nanos = nanos);
    Ok(comparisons)
}

thread_local! {
    /// What the dispatches of this thread were found to do, while somebody asks.
    static FOUND: RefCell<Option<Vec<Comparison>>> = const { RefCell::new(None) };
}

/// Whether the dispatches of this thread are compared on any GPU.
pub(crate) fn is_comparing() -> bool {
    FOUND.with_borrow(Option::is_some)
}

fn note(comparisons: &[Comparison]) {
    FOUND.with_borrow_mut(|found| found.get_or_insert_default().extend_from_slice(comparisons));
}

/// Compares the dispatches of `body`.
pub(crate) fn comparing<R>(body: impl FnOnce() -> R) -> (R, Vec<Comparison>) {
    let (result, found) = scoped::replace(&FOUND, Some(Vec::new()), body);
    (result, found.unwrap_or_default())
}

/// One dispatch on a GPU that is no shadow, compared.
pub(crate) fn compare(gpu: &Gpu, dispatch: &Dispatch<'_>) -> Result<()> {
    note(&both(gpu, dispatch)?);
    Ok(())
}

/// The whole allocation, guard band included.
fn read(gpu: &Gpu, buffer: &Buffer) -> Result<HostData> {
    let bytes = gpu.begin_read(buffer, 0, buffer.bytes())?.wait()?;
    Ok(HostData::from_bytes(buffer.dtype, &bytes))
}

/// The error for a comparison that failed.
pub(crate) fn diverged(label: String, comparison: &Comparison) -> Error {
    let detail = match comparison.worst {
        Some(w) => format!(
            "`{}` element {}{}: the shader gives {:?}, the reference {:?}, {:.1} times the allowed distance",
            comparison.binding,
            w.index,
            if w.in_guard { " (behind the end of the tensor)" } else { "" },
            w.got,
            w.want,
            w.ratio
        ),
        None => "no element was compared".into(),
    };
    Error::Diverged { kernel: label, detail }
}
