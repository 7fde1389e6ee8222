//! What a profile asks of a device.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Device;
use crate::engine::gpu::Gpu;
use crate::engine::memory::{Ledger, Row};
use crate::engine::pool::Buffer;
use crate::engine::profile::{self, Events};
use crate::engine::timer::Timing;

impl Device {
    /// Identity of the device, for profiles.
    pub(super) fn number(&self) -> usize {
        Arc::as_ptr(self.atomic_counters()) as usize
    }

    /// Labels memory that was just made, while a profile runs.
    pub(super) fn labelled(&self, buffer: Buffer) -> Buffer {
        let counters = self.atomic_counters();
        if counters.ledger.is_on() {
            let live = counters.live_bytes.load(Relaxed);
            buffer.set_label(counters.ledger.label(profile::origin(), live));
        }
        buffer
    }

    /// Who holds the memory, and the most that there was since a profile began.
    pub(crate) fn memory_rows(&self) -> (Vec<Row>, u64) {
        self.atomic_counters().ledger.rows()
    }

    /// Bytes that are free for reuse, and that only recordings hold.
    pub(crate) fn idle_memory(&self) -> (u64, u64) {
        self.open_gpu().map_or((0, 0), Gpu::idle_memory)
    }

    /// How the dispatches of this device are timed by [`Device::profile`].
    pub fn timing(&self) -> Timing {
        self.open_gpu().map_or(Timing::Host, |gpu| gpu.timing)
    }

    /// Nanoseconds of a tick of the clock that times dispatches.
    pub(crate) fn tick(&self) -> f64 {
        self.open_gpu().filter(|gpu| gpu.timing != Timing::Host).map_or(1.0, Gpu::tick)
    }

    /// Runs `body` with a session of a profile. Gives what it heard, and when `body` began, when it ended, and when the
    /// device was done.
    pub(crate) fn listen<R>(&self, body: impl FnOnce() -> R) -> (R, Events, [u64; 3]) {
        struct Counted<'a>(&'a Ledger);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        let counters = self.atomic_counters();
        profile::listen(self.number(), |session| {
            if let Some(gpu) = self.open_gpu() {
                profile::unheard(|| gpu.begin_profile(session));
            }
            counters.ledger.begin(counters.live_bytes.load(Relaxed));
            let _counted = Counted(&counters.ledger);
            let start = profile::now();
            let result = body();
            let end = profile::now();
            if let Some(gpu) = self.open_gpu() {
                profile::unheard(|| gpu.end_profile(session));
            }
            (result, session.take(), [start, end, profile::now()])
        })
    }
}
