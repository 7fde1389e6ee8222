//! A GPU opened through wgpu: allocation, upload, dispatch, read-back.

mod replaying;
mod timing;

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use futures::channel::oneshot;

use super::adapter::{self, AdapterFacts};
use super::cache::PipelineStore;
use super::counters::AtomicCounters;
use super::fault;
use super::helper::Helper;
use super::kernel::{Dispatch, Kernel};
use super::pool::{Buffer, Memory, RawBuffer, size_class};
use super::profile::{self, Heard, SpanKind};
use super::stream::Stream;
use super::timer::Timing;
use crate::dtype::DType;
use crate::{Error, Result};

/// Bytes behind every tensor in guarded mode, to see kernels that write past the end.
const GUARD_BYTES: u64 = 256;

/// What fresh memory is filled with in guarded mode, plus the allocation's number: a quiet NaN that no computation
/// produces, so that an element that a kernel forgot to write shows. What is computed from memory behind the end of an
/// operand is that operand's NaN, which differs from the one behind the end of the result.
const SENTINEL: u32 = 0x7fc5_0000;

/// [`SENTINEL`] for halves: both of a word are quiet NaNs of either type.
fn half_sentinel(number: u32) -> u32 {
    (0x7fc0 | number & 0x3f) * 0x1_0001
}

/// Bytes that are staged at a time.
const UPLOAD_PIECE: usize = 8 << 20;

/// Usages of every tensor buffer.
const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

pub(crate) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub facts: AdapterFacts,
    pub limits: wgpu::Limits,
    pub counters: Arc<AtomicCounters>,
    /// How dispatches are timed for a profile.
    pub timing: Timing,
    stream: Mutex<Stream>,
    returns: mpsc::Sender<RawBuffer>,
    faults: wgpu::Buffer,
    health: Arc<Health>,
    budget: AtomicU64,
    /// Faults that reads have reported.
    reported: AtomicU64,
    /// Allocate with guard bands and sentinels (the shadow device).
    guarded: bool,
    sentinels: AtomicU32,
}

/// What went wrong outside of any call, told by wgpu's callbacks.
#[derive(Default)]
struct Health {
    lost: OnceLock<String>,
    error: Mutex<Option<Error>>,
}

impl Gpu {
    pub async fn open(adapter: wgpu::Adapter, options: &adapter::GpuOptions, guarded: bool) -> Result<Gpu> {
        let facts = AdapterFacts::of(&adapter);
        let (device, queue) = adapter::request_device(&adapter, options).await?;
        let health = Arc::new(Health::default());
        let (lost, errors) = (health.clone(), health.clone());
        device.set_device_lost_callback(move |reason, message| {
            let _ = lost.lost.set(format!("{message} ({reason:?})"));
        });
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("wgpu: {error}");
            let mut slot = errors.error.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert_with(|| Error::Driver(error.to_string()));
        }));
        let (returns, returned) = mpsc::channel();
        let faults = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("faults"),
            size: (fault::WORDS * 4) as u64,
            usage: USAGE,
            mapped_at_creation: false,
        });
        let limits = device.limits();
        let timing = Timing::of(device.features());
        let store = PipelineStore::open(&device, &adapter.get_info());
        let helper = Helper::of(adapter, &facts, options);
        let stream = Mutex::new(Stream::new(&device, facts.stream_limits(), timing, returned, (store, helper)));
        let counters = Arc::default();
        let budget = AtomicU64::new(u64::MAX);
        Ok(Gpu {
            device,
            queue,
            facts,
            limits,
            counters,
            timing,
            stream,
            returns,
            faults,
            health,
            budget,
            reported: AtomicU64::new(0),
            guarded,
            sentinels: AtomicU32::new(1),
        })
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device's state: an error that came in from the side is returned once, a lost device for ever.
    pub fn health(&self) -> Result<()> {
        if let Some(reason) = self.health.lost.get() {
            return Err(Error::DeviceLost(reason.clone()));
        }
        let error = self.health.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        match error.or_else(|| self.stream().refused.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub fn set_budget(&self, bytes: Option<u64>) {
        self.budget.store(bytes.unwrap_or(u64::MAX), Relaxed);
    }

    /// The largest number of elements of one tensor.
    pub fn max_elements(&self) -> usize {
        let bytes = self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size);
        // Indices in shaders are u32 and one bit is kept for sums of two of them.
        // Allocations are whole vectors of four.
        let bytes = bytes / 16 * 16;
        ((bytes - if self.guarded { GUARD_BYTES } else { 0 }) / DType::F32.size() as u64).min(1 << 31) as usize
    }

    /// Memory for `len` elements. `for_upload` asks for a buffer that no recorded command uses.
    pub fn alloc(&self, dtype: DType, len: usize, for_upload: bool) -> Result<Buffer> {
        if len > self.max_elements() {
            let max = self.max_elements();
            let detail = format!("a tensor of {len} elements does not fit this device, which binds at most {max}");
            return Err(Error::Limit { op: "allocate", detail });
        }
        if let Some(reason) = self.health.lost.get() {
            return Err(Error::DeviceLost(reason.clone()));
        }
        let guard = if self.guarded { GUARD_BYTES } else { 0 };
        let bytes = size_class(dtype.bytes(len) as u64 + guard, self.limits.max_storage_buffer_binding_size);
        let mut stream = self.stream();
        let recording = stream.recording();
        let in_step = stream.recorder_here().is_some();
        let raw = match stream.pool.take(bytes, for_upload.then_some(recording), in_step) {
            Some(raw) => {
                AtomicCounters::add(&self.counters.buffers_reused, 1);
                raw
            }
            None => self.create(&mut stream, bytes)?,
        };
        if in_step {
            note_allocation(&mut stream, raw.id, for_upload);
        }
        self.counters.pooled_bytes.store(stream.pool.free_bytes(), Relaxed);
        drop(stream);
        let buffer = Buffer::gpu(raw, dtype, len, self.returns.clone(), &self.counters);
        if self.guarded {
            self.flush();
            let number = self.sentinels.fetch_add(1, Relaxed) & 0xffff;
            let word = if dtype.is_half() { half_sentinel(number) } else { SENTINEL | number };
            let sentinels = word.to_le_bytes().repeat(bytes as usize / 4);
            self.write(&buffer, 0, &sentinels);
        }
        Ok(buffer)
    }

    fn create(&self, stream: &mut Stream, bytes: u64) -> Result<RawBuffer> {
        let budget = self.budget.load(Relaxed);
        let live = || self.counters.live_bytes.load(Relaxed);
        let out_of_memory = |budget| Error::OutOfMemory { requested: bytes, live: live(), budget, at: String::new() };
        if live() + stream.pool.parked_bytes() + stream.pool.free_bytes() + bytes > budget {
            self.trim(stream);
            if live() + stream.pool.parked_bytes() + bytes > budget {
                return Err(out_of_memory(Some(budget)));
            }
        }
        if let Some(wgpu) = self.try_create(bytes) {
            return Ok(stream.raw(bytes, wgpu));
        }
        // The driver has no memory left: give back what waits for reuse, let finished work go, and ask once more.
        self.trim(stream);
        stream.submit(&self.device, &self.queue, &self.counters);
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        match self.try_create(bytes) {
            Some(wgpu) => Ok(stream.raw(bytes, wgpu)),
            None => Err(out_of_memory(None)),
        }
    }

    fn trim(&self, stream: &mut Stream) {
        let gone = stream.pool.drain();
        stream.pipelines.forget(&gone);
    }

    fn try_create(&self, size: u64) -> Option<wgpu::Buffer> {
        let buffer = self.try_create_with(size, USAGE)?;
        AtomicCounters::add(&self.counters.buffers_created, 1);
        Some(buffer)
    }

    fn try_create_with(&self, size: u64, usage: wgpu::BufferUsages) -> Option<wgpu::Buffer> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let error = pollster::block_on(memory.pop());
        if let Some(error) = pollster::block_on(validation.pop()).or(error) {
            log::warn!("no buffer of {size} bytes: {error}");
            return None;
        }
        Some(buffer)
    }

    /// A buffer with this content.
    pub fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<Buffer> {
        let buffer = self.alloc(dtype, bytes.len() / dtype.size(), true)?;
        let whole = bytes.len() / 4 * 4;
        if whole > 0 {
            self.write(&buffer, 0, &bytes[..whole]);
        }
        // The last of an odd number of halves: its word is filled up with zeros.
        if let &[low, high] = &bytes[whole..] {
            self.write(&buffer, whole as u64, &[low, high, 0, 0]);
        }
        Ok(buffer)
    }

    /// Writes into a buffer from the host, in recording order: a write takes place before the recorded commands, so if
    /// one of them uses the buffer, they are submitted first.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) {
        let _span = profile::span(SpanKind::Upload, "upload");
        let Memory::Gpu { id, wgpu, last_use, fresh, .. } = &buffer.memory else {
            unreachable!("a GPU writes to its own buffers")
        };
        fresh.store(false, Relaxed);
        let mut stream = self.stream();
        if let Some(recorder) = stream.recorder_here() {
            recorder.uploaded(*id, offset, bytes);
        }
        if last_use.load(Relaxed) == stream.recording() || stream.is_replayed(*id) {
            stream.submit(&self.device, &self.queue, &self.counters);
        }
        drop(stream);
        // Piece by piece, so that staging memory stays small whatever the size; a loop of uploads without a dispatch
        // must not pile up either.
        for (offset, piece) in (offset..).step_by(UPLOAD_PIECE).zip(bytes.chunks(UPLOAD_PIECE)) {
            let mut stream = self.stream();
            stream.stage(&self.device, wgpu, offset, piece);
            last_use.store(stream.recording(), Relaxed);
            if stream.is_full() {
                self.hand_over(stream);
            }
        }
        AtomicCounters::add(&self.counters.uploads, 1);
    }

    /// Compiles a kernel that has not run yet, so that its first dispatch can be timed, or its mistakes come out now.
    pub fn prepare(&self, kernel: &'static Kernel, variant: usize) -> Result<()> {
        let pipelines = &mut self.stream().pipelines;
        pipelines.ready(&self.device, kernel, variant, &self.counters).map(|_| ())
    }

    /// Records one kernel.
    pub fn dispatch(&self, dispatch: &Dispatch<'_>) -> Result<()> {
        let &Dispatch { kernel, variant, operands, params, grid } = dispatch;
        let heard = profile::hear(|| self.number(), dispatch);
        let start = match &heard {
            Some(heard) => self.start_clock(heard.session.is_some(), (kernel, variant))?,
            None => None,
        };
        let mut guard = self.stream();
        let stream = &mut *guard;
        let pipeline = stream.pipelines.get(&self.device, kernel, variant, &self.counters)?;
        let bound = stream.pipelines.bind(&self.device, &pipeline, operands, &self.faults, &self.counters);
        let fresh = note_use(kernel, operands, stream.recording());
        // A text in the kernel's place is to run itself, and what is timed too.
        let stays = pipeline.is_replaced() || heard.as_ref().is_some_and(|heard| heard.session.is_some());
        let grid = if stays { grid.step(None) } else { grid };
        if let Some(recorder) = stream.recorder_here() {
            let met = recorder.dispatched(&pipeline, (&bound, fresh), (params.0, grid), heard.as_deref());
            met.into_iter().for_each(|id| stream.pool.pin(id));
        }
        stream.dispatch(pipeline, (bound, fresh), params.0, grid);
        AtomicCounters::add(&self.counters.dispatches, 1);
        if let Some(Heard { work, session: Some(session) }) = heard.map(|heard| *heard) {
            match start {
                None => stream.mark(session, work),
                Some(start) => {
                    drop(guard);
                    return self.stop_clock(start, &session, work);
                }
            }
        }
        if stream.is_full() {
            self.hand_over(guard);
        }
        Ok(())
    }

    /// Hands everything recorded to the driver, without waiting.
    pub fn flush(&self) {
        self.hand_over(self.stream());
    }

    /// [`Self::flush`] of a stream that is held. Then wgpu cleans up behind finished work; when too much is under way, it
    /// waits for the oldest. The stream is not held meanwhile.
    fn hand_over(&self, mut stream: MutexGuard<'_, Stream>) {
        stream.submit(&self.device, &self.queue, &self.counters);
        let overdue = stream.overdue();
        drop(stream);
        self.note(match overdue {
            Some(index) => self.wait(Some(index)),
            None => self.device.poll(wgpu::PollType::Poll).map(|_| ()).map_err(|e| Error::Driver(e.to_string())),
        });
    }

    /// Keeps an error for the next read, which gets it from [`Self::health`].
    fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.health.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// Waits until everything recorded has run.
    pub fn synchronize(&self) -> Result<()> {
        self.flush();
        self.wait(None)?;
        self.health()
    }

    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let _span = profile::span(SpanKind::Wait, "wait for the device");
        let poll = self.device.poll(wgpu::PollType::Wait { submission_index, timeout: None });
        poll.map(|_| ()).map_err(|e| Error::Driver(format!("waiting for the device: {e}")))
    }

    /// Starts reading `len` bytes of a buffer from byte `offset`; the commands so far are submitted.
    pub fn begin_read(&self, buffer: &Buffer, offset: u64, len: u64) -> Result<PendingRead<'_>> {
        self.health()?;
        let Memory::Gpu { wgpu, .. } = &buffer.memory else { unreachable!("a GPU reads its own buffers") };
        let mut stream = self.stream();
        // The fault words come with every read, behind the data.
        let fault_bytes = (fault::WORDS * 4) as u64;
        let staging = match stream.staging(len + fault_bytes) {
            Some(staging) => staging,
            None => self.create_staging(len + fault_bytes)?,
        };
        let index = stream.submit_with(&self.device, &self.queue, &self.counters, |encoder| {
            if len > 0 {
                encoder.copy_buffer_to_buffer(wgpu, offset, &staging, 0, len);
            }
            encoder.copy_buffer_to_buffer(&self.faults, 0, &staging, len, fault_bytes);
        });
        drop(stream);
        let (sender, mapped) = oneshot::channel();
        staging.slice(..len + fault_bytes).map_async(wgpu::MapMode::Read, move |result| {
            let _ = sender.send(result);
        });
        AtomicCounters::add(&self.counters.read_backs, 1);
        Ok(PendingRead { gpu: self, staging, len, index: Some(index), mapped, report_faults: true })
    }

    /// A buffer to read back through. Made before anything is submitted: a copy into a buffer that could not be made
    /// would take the recorded work with it.
    fn create_staging(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let size = bytes.next_power_of_two().max(4096).min(self.limits.max_buffer_size).max(bytes);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.try_create_with(size, usage).ok_or_else(|| {
            let live = self.counters.live_bytes.load(Relaxed);
            Error::OutOfMemory { requested: size, live, budget: None, at: String::new() }
        })
    }

    /// How many faults reads have reported.
    pub fn reported_faults(&self) -> u64 {
        self.reported.load(Relaxed)
    }

    fn clear_faults(&self) {
        let mut stream = self.stream();
        stream.submit_with(&self.device, &self.queue, &self.counters, |encoder| {
            encoder.clear_buffer(&self.faults, 0, None);
        });
    }

    /// Whether chains of small dispatches are joined.
    pub fn set_fusion(&self, on: bool) {
        self.stream().joins = on;
    }

    pub fn replace(&self, kernel: &'static Kernel, variant: usize, wgsl: Option<String>) {
        self.stream().pipelines.replace(kernel, variant, wgsl);
    }
}

/// A dispatch of `recording` uses these. Gives the bindings that are the first to use their memory since it was allocated,
/// by bits.
fn note_use(kernel: &Kernel, operands: &[&Buffer], recording: u64) -> u16 {
    let bindings = kernel.bindings.iter().enumerate().filter(|(_, binding)| binding.is_operand());
    bindings.zip(operands).fold(0, |bits, ((i, _), operand)| {
        let Memory::Gpu { last_use, fresh, .. } = &operand.memory else { return bits };
        last_use.store(recording, Relaxed);
        // The stream is held: nobody else writes it meanwhile.
        let was_fresh = fresh.load(Relaxed);
        if was_fresh {
            fresh.store(false, Relaxed);
        }
        bits | u16::from(was_fresh) << i
    })
}

/// Memory for a step under record. What comes from the host must stay as it is, so the step may not use it for something
/// else later on.
fn note_allocation(stream: &mut Stream, id: u64, for_upload: bool) {
    if stream.recorder_here().is_some_and(|recorder| recorder.allocated(id)) {
        stream.pool.pin(id);
    }
    if !for_upload {
        stream.pool.own(id);
    }
}

/// A read-back under way.
pub(crate) struct PendingRead<'a> {
    gpu: &'a Gpu,
    staging: wgpu::Buffer,
    len: u64,
    index: Option<wgpu::SubmissionIndex>,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    report_faults: bool,
}

impl PendingRead<'_> {
    /// Leaves a fault for the next read to report.
    pub fn without_faults(mut self) -> Self {
        self.report_faults = false;
        self
    }

    /// Waits for the data.
    pub fn wait(mut self) -> Result<Vec<u8>> {
        self.gpu.wait(self.index.take())?;
        // When another thread polled meanwhile, the message is under way from there.
        let mapped = pollster::block_on(&mut self.mapped).ok();
        self.finish(mapped)
    }

    /// Waits for the data without blocking the thread. Where nobody else polls the device, the future does it each
    /// time it is polled, and asks to be polled again.
    pub async fn wait_async(mut self) -> Result<Vec<u8>> {
        let device = self.gpu.device.clone();
        let mapped = std::future::poll_fn(|cx| {
            let _ = device.poll(wgpu::PollType::Poll);
            let state = std::pin::Pin::new(&mut self.mapped).poll(cx);
            if state.is_pending() && cfg!(not(target_arch = "wasm32")) {
                cx.waker().wake_by_ref();
            }
            state
        })
        .await
        .ok();
        self.finish(mapped)
    }

    fn finish(self, mapped: Option<Result<(), wgpu::BufferAsyncError>>) -> Result<Vec<u8>> {
        self.gpu.health()?;
        match mapped {
            Some(Ok(())) => {}
            Some(Err(e)) => return Err(Error::Driver(format!("reading back: {e}"))),
            None => return Err(Error::Driver("reading back: the device did not answer".into())),
        }
        let view = self
            .staging
            .get_mapped_range(..self.len + (fault::WORDS * 4) as u64)
            .map_err(|e| Error::Driver(format!("reading back: {e}")))?;
        let len = self.len as usize;
        let data = view[..len].to_vec();
        let words: Vec<u32> = view[len..len + fault::WORDS * 4]
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        drop(view);
        self.staging.unmap();
        self.gpu.stream().reclaim(self.staging);
        match fault::decode(std::array::from_fn(|i| words[i])) {
            Some(error) if self.report_faults => {
                self.gpu.reported.fetch_add(1, Relaxed);
                self.gpu.clear_faults();
                Err(error)
            }
            _ => Ok(data),
        }
    }
}
