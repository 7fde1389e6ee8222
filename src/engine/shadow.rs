//! Shadow mode: every dispatch runs on the GPU and then, on the GPU's own input bits, in the scalar twin.

use std::sync::{Arc, Mutex, PoisonError};

use web_time::Instant;

use super::compare::{self, Comparison};
use super::gpu::Gpu;
use super::kernel::{Grid, Kernel, Params};
use super::pool::Buffer;
use crate::dtype::HostData;
use crate::{Error, Result};

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

    pub fn dispatch(
        &self,
        gpu: &Gpu,
        kernel: &'static Kernel,
        variant: usize,
        operands: &[&Buffer],
        params: Params<'_>,
        grid: Grid,
    ) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = operands.iter().map(|b| read(gpu, b)).collect::<Result<Vec<_>>>()?;
        gpu.prepare(kernel, variant)?;
        let start = Instant::now();
        gpu.dispatch(kernel, variant, operands, params, grid)?;
        gpu.synchronize()?;
        let nanos = start.elapsed().as_nanos() as u64;
        let bindings = kernel.bindings.iter().filter(|b| b.is_operand());
        let after = bindings
            .zip(operands)
            .map(|(binding, b)| binding.is_written().then(|| read(gpu, b)).transpose())
            .collect::<Result<Vec<_>>>()?;
        let lens: Vec<usize> = operands.iter().map(|b| b.len).collect();
        let comparisons = compare::check(kernel, variant, params, before, &after, &lens)?;
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for mut comparison in comparisons {
            comparison.nanos = nanos;
            match &observer {
                Some(observe) => observe(&comparison),
                None if comparison.passed() => {}
                None => return Err(diverged(kernel, variant, &comparison)),
            }
        }
        Ok(())
    }
}

/// The whole allocation, guard band included.
fn read(gpu: &Gpu, buffer: &Buffer) -> Result<HostData> {
    let bytes = gpu.begin_read(buffer, 0, buffer.bytes())?.wait()?;
    Ok(HostData::from_bytes(buffer.dtype, &bytes))
}

fn diverged(kernel: &'static Kernel, variant: usize, comparison: &Comparison) -> Error {
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
    Error::Diverged { kernel: kernel.label(variant), detail }
}
