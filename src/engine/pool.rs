//! Buffers that return themselves, and the free lists that they return to.
//!
//! Whole buffers, never slices of one: wgpu tracks usage by buffer, so two slices of one buffer could not be read and
//! written in the same dispatch. A buffer may be reused as soon as its last handle is gone, although recorded commands
//! still use it: the new user's commands come after them in the same stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;

use super::counters::AtomicCounters;
use super::host::HostBuffer;
use crate::dtype::DType;

/// The smallest buffer; WebGPU's dynamic-offset alignment, and no binding is ever empty.
const MIN_BYTES: u64 = 256;

/// A device allocation without an owner.
#[derive(Debug)]
pub(crate) struct RawBuffer {
    pub id: u64,
    pub bytes: u64,
    pub wgpu: wgpu::Buffer,
    /// The recording in which a command last used it.
    pub last_use: u64,
}

#[derive(Debug)]
pub(crate) enum Memory {
    Host(HostBuffer),
    Gpu {
        id: u64,
        wgpu: wgpu::Buffer,
        /// The recording in which a command last used it.
        last_use: AtomicU64,
        returns: mpsc::Sender<RawBuffer>,
    },
}

/// A buffer in use. Dropping it gives the memory back without taking a lock.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub memory: Memory,
    pub dtype: DType,
    /// Elements asked for; the allocation can be larger.
    pub len: usize,
    bytes: u64,
    counters: Arc<AtomicCounters>,
}

impl Buffer {
    pub fn host(dtype: DType, data: HostBuffer, len: usize, counters: &Arc<AtomicCounters>) -> Self {
        let bytes = (len * DType::SIZE) as u64;
        counters.allocated(bytes);
        Buffer { memory: Memory::Host(data), dtype, len, bytes, counters: counters.clone() }
    }

    pub fn gpu(
        raw: RawBuffer,
        dtype: DType,
        len: usize,
        returns: mpsc::Sender<RawBuffer>,
        counters: &Arc<AtomicCounters>,
    ) -> Self {
        counters.allocated(raw.bytes);
        let memory = Memory::Gpu { id: raw.id, wgpu: raw.wgpu, last_use: AtomicU64::new(raw.last_use), returns };
        Buffer { memory, dtype, len, bytes: raw.bytes, counters: counters.clone() }
    }

    /// Bytes of the allocation.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.counters.released(self.bytes);
        if let Memory::Gpu { id, wgpu, last_use, returns } = &self.memory {
            let raw = RawBuffer { id: *id, bytes: self.bytes, wgpu: wgpu.clone(), last_use: last_use.load(Relaxed) };
            // The receiver is gone when the device is: then the memory simply goes.
            let _ = returns.send(raw);
        }
    }
}

/// Free lists by size.
pub(crate) struct Pool {
    free: BTreeMap<u64, Vec<RawBuffer>>,
    free_bytes: u64,
    returned: mpsc::Receiver<RawBuffer>,
    next_id: u64,
}

impl Pool {
    pub fn new(returned: mpsc::Receiver<RawBuffer>) -> Self {
        Pool { free: BTreeMap::new(), free_bytes: 0, returned, next_id: 1 }
    }

    fn collect(&mut self) {
        while let Ok(raw) = self.returned.try_recv() {
            self.free_bytes += raw.bytes;
            self.free.entry(raw.bytes).or_default().push(raw);
        }
    }

    /// A free buffer of this size, the latest returned first. `not_used_in` leaves out buffers that commands of that
    /// recording use.
    pub fn take(&mut self, bytes: u64, not_used_in: Option<u64>) -> Option<RawBuffer> {
        self.collect();
        let list = self.free.get_mut(&bytes)?;
        let position = list.iter().rposition(|raw| Some(raw.last_use) != not_used_in)?;
        // `remove` keeps the order, so that a loop that repeats itself meets the same buffers in the same places and
        // finds its bind groups again.
        let raw = list.remove(position);
        self.free_bytes -= bytes;
        Some(raw)
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn free_bytes(&mut self) -> u64 {
        self.collect();
        self.free_bytes
    }

    /// Lets go of every free buffer and names them, so that caches can forget them.
    pub fn drain(&mut self) -> Vec<u64> {
        self.collect();
        self.free_bytes = 0;
        std::mem::take(&mut self.free).into_values().flatten().map(|raw| raw.id).collect()
    }
}

/// The allocation size for a request: four steps a power of two, at least [`MIN_BYTES`], so that nearly equal sizes
/// share a free list and at most a fifth is lost. Above `max` (the largest binding) only the alignment is rounded.
pub(crate) fn size_class(bytes: u64, max: u64) -> u64 {
    let bytes = bytes.max(MIN_BYTES);
    let step = (bytes.next_power_of_two() / 8).max(MIN_BYTES / 4);
    let class = bytes.next_multiple_of(step);
    if class <= max { class } else { bytes.next_multiple_of(16) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_few_and_close() {
        let mut classes = std::collections::BTreeSet::new();
        for bytes in 1..100_000u64 {
            let class = size_class(bytes, 1 << 27);
            assert!(class >= bytes && class.is_multiple_of(4));
            assert!(bytes < MIN_BYTES || class as f64 <= bytes as f64 * 1.25, "{bytes} -> {class}");
            classes.insert(class);
        }
        assert!(classes.len() < 50, "{}", classes.len());
        assert_eq!(size_class((1 << 27) - 4, 1 << 27), 1 << 27);
        assert_eq!(size_class((1 << 27) - 4, (1 << 27) - 4 + 15), ((1u64 << 27) - 4).next_multiple_of(16));
    }
}
