//! What a device does for steps that are recorded and replayed.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::{Body, Device, RandomState};
use crate::Result;
use crate::engine::gpu::Gpu;
use crate::engine::recording::{self, Live, Recorder, Recording};
use crate::engine::shadow;

impl Device {
    /// The state before the next `n` random operations, which are taken as done.
    pub(crate) fn draw_random(&self, n: u64) -> RandomState {
        let mut state = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        let current = *state;
        state.counter += n;
        current
    }

    /// See [`recording::changed`].
    pub(in crate::engine) fn changed(&self) {
        self.0.changes.fetch_add(1, Relaxed);
    }

    /// How often something has moved that recorded steps use.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Relaxed)
    }

    /// The GPU, where steps can be recorded: not on the reference, and not where each dispatch is compared.
    fn recording_gpu(&self) -> Option<&Gpu> {
        match &self.0.body {
            Body::Gpu(gpu) if !shadow::is_comparing() => Some(gpu),
            _ => None,
        }
    }

    /// Whether steps can be recorded here.
    pub(crate) fn records(&self) -> bool {
        self.recording_gpu().is_some()
    }

    /// Listens to this thread's dispatches from here on. False when a step is being recorded already.
    pub(crate) fn begin_recording(&self) -> bool {
        self.recording_gpu().is_some_and(|gpu| gpu.begin_recording(self.random_state()))
    }

    /// The step that this thread has run since.
    pub(crate) fn end_recording(&self) -> Option<Recorder> {
        self.open_gpu().and_then(Gpu::end_recording)
    }

    /// Gives back the memory of a recording.
    pub(crate) fn release_recording(&self, used: &rustc_hash::FxHashSet<u64>) {
        if let Some(gpu) = self.open_gpu() {
            gpu.release(used);
        }
    }

    /// Runs `body`, whose dispatches depend on what `source` tells.
    pub(crate) fn with_live(
        &self,
        source: impl FnOnce() -> Arc<dyn Live>,
        body: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        match self.recording_gpu() {
            Some(gpu) if recording::is_capturing() => gpu.with_live(source(), body),
            _ => body(),
        }
    }

    /// Runs a recording again: false when it no longer fits, and nothing was done.
    pub(crate) fn replay(&self, recording: &mut Recording) -> Result<bool> {
        let Some(gpu) = self.recording_gpu() else { return Ok(false) };
        gpu.health()?;
        let fits = recording.refresh(self)?;
        if fits {
            gpu.replay(recording);
        }
        Ok(fits)
    }
}
