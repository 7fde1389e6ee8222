//! Buffers that return themselves, and the free lists that they return to.
//!
//! Whole buffers, never slices of one: wgpu tracks usage by buffer, so two slices of one buffer could not be read and
//! written in the same dispatch. A buffer may be reused as soon as its last handle is gone, although recorded commands
//! still use it: the new user's commands come after them in the same stream.
//!
//! Memory that a recorded step uses is kept from everybody else for as long as the recording lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::counters::AtomicCounters;
use super::host::HostBuffer;
use super::memory::Label;
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
        /// Nothing has used it yet since it was allocated: what it holds is of no use to anybody.
        fresh: AtomicBool,
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
    /// What it is for: see [`super::memory`].
    label: AtomicU32,
}

impl Buffer {
    pub fn host(dtype: DType, data: HostBuffer, len: usize, counters: &Arc<AtomicCounters>) -> Self {
        let bytes = dtype.bytes(len) as u64;
        counters.allocated(bytes);
        Buffer { memory: Memory::Host(data), dtype, len, bytes, counters: counters.clone(), label: AtomicU32::new(0) }
    }

    pub fn gpu(
        raw: RawBuffer,
        dtype: DType,
        len: usize,
        returns: mpsc::Sender<RawBuffer>,
        counters: &Arc<AtomicCounters>,
    ) -> Self {
        counters.allocated(raw.bytes);
        let (last_use, fresh) = (AtomicU64::new(raw.last_use), AtomicBool::new(true));
        let memory = Memory::Gpu { id: raw.id, wgpu: raw.wgpu, last_use, fresh, returns };
        Buffer { memory, dtype, len, bytes: raw.bytes, counters: counters.clone(), label: AtomicU32::new(0) }
    }

    /// The memory of a buffer of a device on the host.
    pub fn on_host(&self) -> &HostBuffer {
        match &self.memory {
            Memory::Host(host) => host,
            Memory::Gpu { .. } => unreachable!("`apply` refuses operands of different devices"),
        }
    }

    /// Says what the memory is for.
    pub fn set_label(&self, label: Label) {
        // Mostly it is labelled so already: a gradient in an optimiser's memory, say.
        if self.label.load(Relaxed) != label {
            self.counters.ledger.relabel(&self.label, label, self.bytes);
        }
    }

    /// Bytes of the allocation.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.counters.released(self.bytes);
        if *self.label.get_mut() != 0 {
            self.set_label(0);
        }
        if let Memory::Gpu { id, wgpu, last_use, returns, .. } = &self.memory {
            let raw = RawBuffer { id: *id, bytes: self.bytes, wgpu: wgpu.clone(), last_use: last_use.load(Relaxed) };
            // The receiver is gone when the device is: then the memory simply goes.
            let _ = returns.send(raw);
        }
    }
}

/// Free lists by size.
pub(crate) struct Pool {
    free: BTreeMap<u64, Vec<RawBuffer>>,
    /// Those in `free`.
    free_ids: FxHashSet<u64>,
    free_bytes: u64,
    returned: mpsc::Receiver<RawBuffer>,
    next_id: u64,
    /// How many recordings use a buffer.
    pins: FxHashMap<u64, u32>,
    /// Returned buffers that a recording uses.
    parked: FxHashMap<u64, RawBuffer>,
    parked_bytes: u64,
    /// While a step is recorded: its own memory.
    scratch: Option<Scratch>,
}

/// The memory that a step under record allocated; what it gave back it may use again.
#[derive(Default)]
struct Scratch {
    own: FxHashSet<u64>,
    free: BTreeMap<u64, Vec<RawBuffer>>,
}

impl Pool {
    pub fn new(returned: mpsc::Receiver<RawBuffer>) -> Self {
        Pool {
            free: BTreeMap::new(),
            free_ids: FxHashSet::default(),
            free_bytes: 0,
            returned,
            next_id: 1,
            pins: FxHashMap::default(),
            parked: FxHashMap::default(),
            parked_bytes: 0,
            scratch: None,
        }
    }

    /// Takes in what was given back.
    pub fn collect(&mut self) {
        while let Ok(raw) = self.returned.try_recv() {
            self.put(raw);
        }
    }

    fn put(&mut self, raw: RawBuffer) {
        if let Some(scratch) = self.scratch.as_mut().filter(|s| s.own.contains(&raw.id)) {
            scratch.free.entry(raw.bytes).or_default().push(raw);
        } else if self.pins.contains_key(&raw.id) {
            self.parked_bytes += raw.bytes;
            self.parked.insert(raw.id, raw);
        } else {
            self.free_bytes += raw.bytes;
            self.free_ids.insert(raw.id);
            self.free.entry(raw.bytes).or_default().push(raw);
        }
    }

    /// A free buffer of this size, the latest returned first. `not_used_in` leaves out buffers that commands of that
    /// recording use; `in_step` is whether the step under record asks.
    pub fn take(&mut self, bytes: u64, not_used_in: Option<u64>, in_step: bool) -> Option<RawBuffer> {
        self.collect();
        if let Some(scratch) = self.scratch.as_mut().filter(|_| in_step && not_used_in.is_none())
            && let Some(raw) = scratch.free.get_mut(&bytes).and_then(Vec::pop)
        {
            return Some(raw);
        }
        let list = self.free.get_mut(&bytes)?;
        let position = list.iter().rposition(|raw| Some(raw.last_use) != not_used_in)?;
        // `remove` keeps the order, so that a loop that repeats itself meets the same buffers in the same places and
        // finds its bind groups again.
        let raw = list.remove(position);
        self.free_ids.remove(&raw.id);
        self.free_bytes -= bytes;
        Some(raw)
    }

    /// Whether a buffer waited for reuse at the last [`Self::collect`], so that nobody can read what it holds.
    pub fn is_free(&self, id: u64) -> bool {
        self.free_ids.contains(&id)
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn free_bytes(&mut self) -> u64 {
        self.collect();
        self.free_bytes
    }

    /// Bytes that only recordings hold.
    pub fn parked_bytes(&self) -> u64 {
        self.parked_bytes
    }

    /// Lets go of every free buffer and names them, so that caches can forget them.
    pub fn drain(&mut self) -> Vec<u64> {
        self.collect();
        self.free_bytes = 0;
        self.free_ids.clear();
        std::mem::take(&mut self.free).into_values().flatten().map(|raw| raw.id).collect()
    }

    /// A step is recorded from here on.
    pub fn begin_step(&mut self) {
        self.collect();
        self.scratch = Some(Scratch::default());
    }

    /// The step is over; what it gave back stays with the recording.
    pub fn end_step(&mut self) {
        self.collect();
        let scratch = self.scratch.take().unwrap_or_default();
        scratch.free.into_values().flatten().for_each(|raw| self.put(raw));
    }

    /// The step under record made this buffer: it may use it again when it has given it back.
    pub fn own(&mut self, id: u64) {
        if let Some(scratch) = &mut self.scratch {
            scratch.own.insert(id);
        }
    }

    /// A recording uses this buffer.
    pub fn pin(&mut self, id: u64) {
        *self.pins.entry(id).or_default() += 1;
    }

    /// A recording that used these buffers is gone; `recording` is what commands are recorded into now.
    pub fn unpin(&mut self, ids: &FxHashSet<u64>, recording: u64) {
        self.collect();
        for id in ids {
            let Some(count) = self.pins.get_mut(id) else { continue };
            *count -= 1;
            if *count > 0 {
                continue;
            }
            self.pins.remove(id);
            if let Some(raw) = self.parked.remove(id) {
                self.parked_bytes -= raw.bytes;
                self.put(RawBuffer { last_use: recording, ..raw });
            }
        }
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
