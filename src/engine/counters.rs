//! Numbers that tests, benches and curious users read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::memory::Ledger;

/// A snapshot of a device's counters; all but the live ones only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Kernels recorded (on the reference: run).
    pub dispatches: u64,
    /// Those of them that ran as a step of another, which saved their own.
    pub fused: u64,
    /// Command buffers handed to the driver.
    pub submits: u64,
    /// Bytes of buffers in use now.
    pub live_bytes: u64,
    /// The most that `live_bytes` has been.
    pub peak_bytes: u64,
    /// Bytes of buffers that wait for reuse.
    pub pooled_bytes: u64,
    /// Buffers that were created; flat after warm-up.
    pub buffers_created: u64,
    /// Allocations served from the pool.
    pub buffers_reused: u64,
    /// Bind groups found in the cache.
    pub bind_group_hits: u64,
    /// Bind groups that had to be made.
    pub bind_group_misses: u64,
    /// Compute pipelines compiled.
    pub pipelines_created: u64,
    /// Host-to-device transfers.
    pub uploads: u64,
    /// Device-to-host transfers, each of which waits for the device.
    pub read_backs: u64,
}

macro_rules! atomics {
    ($($field:ident),*) => {
        #[derive(Default, Debug)]
        pub(crate) struct AtomicCounters {
            $(pub $field: AtomicU64,)*
            /// Who holds the memory.
            pub ledger: Ledger,
        }
        impl AtomicCounters {
            pub fn snapshot(&self) -> Counters {
                Counters { $($field: self.$field.load(Relaxed)),* }
            }
        }
    };
}
atomics!(
    dispatches,
    fused,
    submits,
    live_bytes,
    peak_bytes,
    pooled_bytes,
    buffers_created,
    buffers_reused,
    bind_group_hits,
    bind_group_misses,
    pipelines_created,
    uploads,
    read_backs
);

impl AtomicCounters {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }

    pub fn allocated(&self, bytes: u64) {
        let live = self.live_bytes.fetch_add(bytes, Relaxed) + bytes;
        self.peak_bytes.fetch_max(live, Relaxed);
    }

    pub fn released(&self, bytes: u64) {
        self.live_bytes.fetch_sub(bytes, Relaxed);
    }
}
