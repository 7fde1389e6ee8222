//! The device: a value that every tensor carries, and the one branch between GPU and reference.

mod replay;
mod report;
mod sanitizing;
mod tuning;

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::adapter::{self, AdapterFacts, GpuOptions};
use super::compare::Comparison;
use super::counters::{AtomicCounters, Counters};
use super::gpu::Gpu;
use super::host::{self, HostBuffer};
use super::kernel::{Binding, Dispatch, Kernel};
use super::memory::Class;
use super::pool::Buffer;
use super::profile;
use super::recording;
use super::sanitizer::Sanitizer;
use super::shadow::{self, Observer, Shadow};
use super::tape;
use super::tuner::{self, Tuner};
use crate::dtype::{DType, HostData, Packed};
use crate::{Error, Result, scoped};

/// Where tensors live and operations run: a GPU, the scalar reference, or a shadow that runs both and compares.
///
/// A cheap handle; clones are the same device.
///
/// ```
/// use lumigrad::prelude::*;
/// let device = Device::reference();
/// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).to(&device);
/// assert_eq!(x.device(), &device);
/// ```
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    body: Body,
    random: Mutex<RandomState>,
    choices: Mutex<Vec<(&'static str, &'static str)>>,
    /// How often something has moved that recorded steps use.
    changes: AtomicU64,
    tuner: Tuner,
}

enum Body {
    Reference {
        rounding: bool,
        sanitizer: Option<Box<(Sanitizer, Shadow)>>,
        counters: Arc<AtomicCounters>,
        turn: Mutex<()>,
    },
    Gpu(Box<Gpu>),
    Shadow(Box<Gpu>, Shadow),
}

/// Seed and position of a device's random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomState {
    /// The seed.
    pub seed: u64,
    /// Random operations since the seed was set.
    pub counter: u64,
}

/// The environment variable that names the default device.
pub const DEVICE_VARIABLE: &str = "LUMIGRAD_DEVICE";

static PROCESS_DEFAULT: OnceLock<Device> = OnceLock::new();

thread_local! {
    static CURRENT: RefCell<Option<Device>> = const { RefCell::new(None) };
}

impl Device {
    fn new(body: Body) -> Device {
        let random = Mutex::new(RandomState { seed: 0, counter: 0 });
        let (choices, changes, tuner) = (Mutex::default(), AtomicU64::new(0), Tuner::default());
        Device(Arc::new(Inner { body, random, choices, changes, tuner }))
    }

    /// The scalar reference: every operation in plain Rust loops over `f64`, stored as f32. There is one a process.
    pub fn reference() -> Device {
        static REFERENCE: OnceLock<Device> = OnceLock::new();
        REFERENCE.get_or_init(|| Device::new_reference(true)).clone()
    }

    /// A reference device that does not round its stores to f32: what [`crate::autograd::gradcheck`] runs on.
    pub fn reference_unrounded() -> Device {
        static UNROUNDED: OnceLock<Device> = OnceLock::new();
        UNROUNDED.get_or_init(|| Device::new_reference(false)).clone()
    }

    /// A reference device of its own, with its own counters and random numbers.
    pub fn new_reference(rounding: bool) -> Device {
        Device::on_host(rounding, None)
    }

    fn on_host(rounding: bool, sanitizer: Option<Box<(Sanitizer, Shadow)>>) -> Device {
        Device::new(Body::Reference { rounding, sanitizer, counters: Arc::default(), turn: Mutex::default() })
    }

    /// The best GPU: discrete before integrated before software.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when there is none, [`Error::Driver`] when it can't be opened.
    pub fn gpu() -> Result<Device> {
        Device::gpu_with(None, &GpuOptions::default())
    }

    /// The best GPU, or the best one with `name` in its name, opened with `options`.
    ///
    /// # Errors
    /// As [`Device::gpu`], and [`Error::UnknownDevice`] when no adapter has the name.
    pub fn gpu_with(name: Option<&str>, options: &GpuOptions) -> Result<Device> {
        pollster::block_on(Device::gpu_async(name, options))
    }

    /// [`Device::gpu_with`] for places that must not block.
    ///
    /// # Errors
    /// As [`Device::gpu_with`].
    pub async fn gpu_async(name: Option<&str>, options: &GpuOptions) -> Result<Device> {
        let adapter = adapter::choose(name).await?;
        Ok(Device::new(Body::Gpu(Box::new(Gpu::open(adapter, options, false).await?))))
    }

    /// The best GPU with the reference behind it: each dispatch runs on both and the first one that differs is an
    /// error that names the kernel and the element. Slow, meant to find a wrong kernel or driver.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    pub fn shadow() -> Result<Device> {
        Device::shadow_with(None, &GpuOptions::default())
    }

    /// [`Device::shadow`] on a named adapter or with other options.
    ///
    /// # Errors
    /// As [`Device::gpu_with`].
    pub fn shadow_with(name: Option<&str>, options: &GpuOptions) -> Result<Device> {
        let adapter = pollster::block_on(adapter::choose(name))?;
        let gpu = pollster::block_on(Gpu::open(adapter, options, true))?;
        Ok(Device::new(Body::Shadow(Box::new(gpu), Shadow::default())))
    }

    /// Opens a device by name: `reference` (or `cpu`), `gpu`, `shadow`, `sanitizer`, or a part of an adapter's name.
    ///
    /// # Errors
    /// As [`Device::gpu_with`].
    pub fn named(name: &str) -> Result<Device> {
        match name.trim().to_lowercase().as_str() {
            "reference" | "cpu" => Ok(Device::reference()),
            "gpu" => Device::gpu(),
            "shadow" => Device::shadow(),
            "sanitizer" => Ok(Device::sanitizer()),
            other => Device::gpu_with(Some(other), &GpuOptions::default()),
        }
    }

    /// The device that the environment variable `LUMIGRAD_DEVICE` names; without it the best GPU, and where there is no
    /// adapter at all, the reference, which is said in one line on stderr.
    ///
    /// # Errors
    /// As [`Device::named`] when the variable is set; [`Error::Driver`] when the adapter can't be opened.
    pub fn from_env() -> Result<Device> {
        match std::env::var(DEVICE_VARIABLE) {
            Ok(name) if !name.trim().is_empty() => Device::named(&name),
            _ => match Device::gpu() {
                Err(error @ Error::NoAdapter { .. }) => {
                    // Not through the log: most programs set none up, and would be slow without a word.
                    eprintln!("{error}; running on the scalar reference, which is slow");
                    Ok(Device::reference())
                }
                other => other,
            },
        }
    }

    /// The device that new tensors are made on: the thread's current one ([`Device::scope`]), else the process's
    /// default, which is opened once with [`Device::from_env`].
    ///
    /// # Panics
    /// When the default device can't be opened; [`Device::from_env`] with [`Device::set_default`] returns the error
    /// instead.
    pub fn current() -> Device {
        if let Some(device) = CURRENT.with(|c| c.borrow().clone()) {
            return device;
        }
        PROCESS_DEFAULT
            .get_or_init(|| Device::from_env().unwrap_or_else(|e| panic!("the default device can't be opened: {e}")))
            .clone()
    }

    /// Makes this the process's default device. `false` when there already is another.
    pub fn set_default(device: &Device) -> bool {
        PROCESS_DEFAULT.get_or_init(|| device.clone()) == device
    }

    /// Runs `body` with this as the thread's current device.
    pub fn scope<R>(&self, body: impl FnOnce() -> R) -> R {
        scoped::replace(&CURRENT, Some(self.clone()), body).0
    }

    /// Every adapter that lumigrad can use, best first.
    pub fn adapters() -> Vec<AdapterFacts> {
        pollster::block_on(adapter::usable()).iter().map(AdapterFacts::of).collect()
    }

    fn open_gpu(&self) -> Option<&Gpu> {
        match &self.0.body {
            Body::Reference { .. } => None,
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => Some(gpu),
        }
    }

    /// Whether this is a reference device.
    pub fn is_reference(&self) -> bool {
        matches!(self.0.body, Body::Reference { sanitizer: None, .. })
    }

    /// Whether every dispatch is compared with the reference.
    pub fn is_shadow(&self) -> bool {
        matches!(self.0.body, Body::Shadow(..) | Body::Reference { sanitizer: Some(_), .. })
    }

    /// The adapter, unless this is the reference.
    pub fn adapter(&self) -> Option<&AdapterFacts> {
        self.open_gpu().map(|gpu| &gpu.facts)
    }

    /// Whether this many neighbouring threads are sure to form (a part of) one subgroup: the adapter offers subgroup
    /// operations, the device was opened with them, and no subgroup is smaller.
    pub fn has_subgroups(&self, threads: u32) -> bool {
        match self.open_gpu() {
            Some(gpu) => gpu.device.features().contains(wgpu::Features::SUBGROUP) && gpu.facts.subgroup.0 >= threads,
            None => self.sanitized_subgroup() >= threads,
        }
    }

    /// Whether subgroups multiply square matrices of f16 of this many rows (8 or 16) as a whole, with sums in f32.
    pub fn has_matrices(&self, rows: u32) -> bool {
        match self.open_gpu() {
            Some(gpu) => gpu.device.features().contains(adapter::MATRIX_FEATURES) && gpu.facts.matrices.contains(&rows),
            None => self.sanitized_matrices() == rows,
        }
    }

    /// The device's counters.
    pub fn counters(&self) -> Counters {
        self.atomic_counters().snapshot()
    }

    fn atomic_counters(&self) -> &Arc<AtomicCounters> {
        match &self.0.body {
            Body::Reference { counters, .. } => counters,
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => &gpu.counters,
        }
    }

    /// How many bad indices reads have reported so far.
    pub(crate) fn reported_faults(&self) -> u64 {
        self.open_gpu().map_or(0, Gpu::reported_faults)
    }

    /// Hands recorded work to the driver without waiting for it.
    pub fn flush(&self) {
        if let Some(gpu) = self.open_gpu() {
            gpu.flush();
        }
    }

    /// Waits until all recorded work has run.
    ///
    /// # Errors
    /// What went wrong on the device since the last read.
    pub fn synchronize(&self) -> Result<()> {
        self.open_gpu().map_or(Ok(()), Gpu::synchronize)
    }

    /// Bounds the memory of live tensors: an allocation beyond it fails as if the device had no more. `None` leaves it
    /// to the driver. The reference has no bound.
    pub fn set_memory_budget(&self, bytes: Option<u64>) {
        if let Some(gpu) = self.open_gpu() {
            gpu.set_budget(bytes);
        }
    }

    /// Seeds the device's random numbers, as `torch.manual_seed` does.
    pub fn manual_seed(&self, seed: u64) {
        self.set_random_state(RandomState { seed, counter: 0 });
    }

    /// Seed and position, for checkpoints.
    pub fn random_state(&self) -> RandomState {
        *self.0.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues from a saved position.
    pub fn set_random_state(&self, state: RandomState) {
        *self.0.random.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The state for one random operation; the next one gets another.
    pub(crate) fn next_random(&self) -> RandomState {
        tape::random(|| {
            let mut state = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
            let current = *state;
            state.counter += 1;
            current
        })
    }

    /// Receives every comparison of a shadow device or a sanitizer; with an observer a divergence is reported and not an
    /// error. Has no effect on other devices.
    pub fn observe(&self, observer: Option<Observer>) {
        match &self.0.body {
            Body::Shadow(_, shadow) => shadow.set_observer(observer),
            Body::Reference { sanitizer: Some(sanitizer), .. } => sanitizer.1.set_observer(observer),
            Body::Reference { .. } | Body::Gpu(_) => {}
        }
    }

    /// Runs `body` with each dispatch of this thread on a GPU held against its scalar twin, as a shadow device does, and
    /// gives what was found.
    ///
    /// ```no_run
    /// use lumigrad::prelude::*;
    /// let device = Device::gpu()?;
    /// let x = Tensor::full_on(&[4], 0.5, DType::F32, &device);
    /// let (_, comparisons) = Device::compare(|| x.exp());
    /// assert!(comparisons.iter().all(|c| c.passed()));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// There is nothing to compare on the reference itself.
    pub fn compare<R>(body: impl FnOnce() -> R) -> (R, Vec<Comparison>) {
        shadow::comparing(body)
    }

    /// Runs another WGSL text in place of a kernel's own on this device, or the kernel's own again with `None`.
    /// The text gets the variant's prelude and may use `#import`. The reference is not affected. A text that does not
    /// compile is an error of the first dispatch; [`Device::replace_kernel_with`] checks it here and now.
    pub fn replace_kernel(&self, kernel: &'static Kernel, variant: usize, wgsl: Option<String>) {
        match &self.0.body {
            Body::Reference { sanitizer: Some(sanitizer), .. } => sanitizer.0.replace(kernel, variant, wgsl),
            Body::Reference { .. } => {}
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => {
                gpu.replace(kernel, variant, wgsl);
                self.changed();
            }
        }
    }

    /// Fixes which of several kernels serves a family of computations, whatever the adapter; `None` gives the choice
    /// back. Doctor and tests use it to reach every kernel.
    ///
    /// A computation that the kernel can't do on this device (it needs subgroups that are not there, or more loop
    /// iterations than the driver allows) is still done by another one; the doctor's rows say which ran.
    pub fn force_choice(&self, family: &'static str, option: Option<&'static str>) {
        let mut choices = self.0.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.retain(|(f, _)| *f != family);
        choices.extend(option.map(|o| (family, o)));
        self.changed();
    }

    /// What [`Self::force_choice`] has fixed, or measuring has found for the computation under way.
    pub(crate) fn forced_choice(&self, family: &str) -> Option<&'static str> {
        if let Some(measured) = tuner::choice_here(family) {
            return measured;
        }
        let choices = self.0.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.iter().find(|(f, _)| *f == family).map(|(_, o)| *o)
    }

    /// Whether chains of small elementwise operations are joined into single dispatches when they are submitted, as they are
    /// from the start on a GPU. The results are the same bits; a profile, whose dispatches are timed one by one, shows them
    /// apart in any case.
    pub fn set_fusion(&self, on: bool) {
        if let Some(gpu) = self.open_gpu() {
            gpu.set_fusion(on);
        }
    }

    /// The largest number of elements that one tensor can have here.
    pub fn max_elements(&self) -> usize {
        self.open_gpu().map_or(1 << 31, Gpu::max_elements)
    }

    pub(crate) fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let buffer = match &self.0.body {
            Body::Reference { sanitizer, counters, .. } => {
                let content = match sanitizer {
                    Some(_) => sanitizing::fresh(dtype, len),
                    None => HostData::zeros(dtype, len),
                };
                Buffer::host(dtype, HostBuffer::new(content), len, counters)
            }
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => gpu.alloc(dtype, len, false)?,
        };
        Ok(self.labelled(buffer))
    }

    pub(crate) fn upload(&self, dtype: DType, data: &Packed<'_>) -> Result<Buffer> {
        let buffer = match &self.0.body {
            Body::Reference { rounding, counters, .. } => {
                let mut host = data.host(dtype);
                if *rounding {
                    host.round();
                }
                let len = host.len();
                Buffer::host(dtype, HostBuffer::new(host), len, counters)
            }
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => data.with_bytes(dtype, |bytes| gpu.upload(dtype, bytes))?,
        };
        buffer.set_label(Class::Inputs.label());
        Ok(buffer)
    }

    /// Elements `start..start + len` of a buffer.
    pub(crate) fn read(&self, buffer: &Buffer, start: usize, len: usize) -> Result<HostData> {
        match &self.0.body {
            Body::Reference { turn, .. } => Ok(host_range(turn, buffer, start, len)),
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => {
                let (offset, bytes, before) = byte_range(buffer.dtype, start, len);
                Ok(elements(buffer.dtype, &gpu.begin_read(buffer, offset, bytes)?.wait()?, before, len))
            }
        }
    }

    /// [`Self::read`] that leaves a bad index for the next read to report: for printing.
    pub(crate) fn peek(&self, buffer: &Buffer, start: usize, len: usize) -> Result<HostData> {
        match &self.0.body {
            Body::Reference { turn, .. } => Ok(host_range(turn, buffer, start, len)),
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => {
                let (offset, bytes, before) = byte_range(buffer.dtype, start, len);
                let read = gpu.begin_read(buffer, offset, bytes)?.without_faults();
                Ok(elements(buffer.dtype, &read.wait()?, before, len))
            }
        }
    }

    pub(crate) async fn read_async(&self, buffer: &Buffer, start: usize, len: usize) -> Result<HostData> {
        match &self.0.body {
            Body::Reference { turn, .. } => Ok(host_range(turn, buffer, start, len)),
            Body::Gpu(gpu) | Body::Shadow(gpu, _) => {
                let (offset, bytes, before) = byte_range(buffer.dtype, start, len);
                let data = gpu.begin_read(buffer, offset, bytes)?.wait_async().await?;
                Ok(elements(buffer.dtype, &data, before, len))
            }
        }
    }

    /// Compiles a kernel now, if it is not yet.
    pub(crate) fn prepare(&self, kernel: &'static Kernel, variant: usize) -> Result<()> {
        self.open_gpu().map_or(Ok(()), |gpu| gpu.prepare(kernel, variant))
    }

    /// Runs a kernel: the switch between the two bodies.
    ///
    /// # Errors
    /// A failure of the device; on the reference also a bad index. A kernel that the device refuses is an error of the next
    /// read, since it is compiled when the dispatch is submitted, and then of all its dispatches.
    ///
    /// # Panics
    /// When the operands break the rules of the engine (a bug in an operation, not in the user's program).
    pub(crate) fn dispatch(&self, dispatch: Dispatch<'_>) -> Result<()> {
        let Dispatch { kernel, variant, operands, params, grid } = dispatch;
        debug_assert_eq!(params.0.len(), kernel.params.size, "{}: another params struct than declared", kernel.name);
        check_aliasing(kernel, operands);
        if grid.is_empty() {
            return Ok(());
        }
        if recording::is_collecting() {
            recording::collect(kernel, variant, params.0);
            return Ok(());
        }
        match &self.0.body {
            Body::Reference { rounding, sanitizer, counters, turn } => {
                AtomicCounters::add(&counters.dispatches, 1);
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                let heard = profile::hear(|| self.number(), &dispatch);
                let start = if heard.is_some() { profile::now() } else { 0 };
                let result = match sanitizer.as_deref() {
                    Some((sanitizer, shadow)) => shadow.sanitize(sanitizer, &dispatch),
                    None => host::dispatch(&dispatch, *rounding),
                };
                if let Some(heard) = heard {
                    heard.ran(start);
                }
                result
            }
            Body::Gpu(gpu) if shadow::is_comparing() => shadow::compare(gpu, &dispatch),
            Body::Gpu(gpu) => gpu.dispatch(&dispatch),
            Body::Shadow(gpu, shadow) => shadow.dispatch(gpu, &dispatch),
        }
    }
}

/// The whole words that hold these elements, and the bytes of the first word that are not theirs.
fn byte_range(dtype: DType, start: usize, len: usize) -> (u64, u64, usize) {
    let (first, end) = (start * dtype.size(), (start + len) * dtype.size());
    let before = first % 4;
    ((first - before) as u64, (end.next_multiple_of(4) - (first - before)) as u64, before)
}

/// The elements of a read of [`byte_range`].
fn elements(dtype: DType, bytes: &[u8], before: usize, len: usize) -> HostData {
    HostData::from_bytes(dtype, &bytes[before..before + len * dtype.size()])
}

/// A kernel that changes a buffer has its content out meanwhile: a read waits for its turn.
fn host_range(turn: &Mutex<()>, buffer: &Buffer, start: usize, len: usize) -> HostData {
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let range = start..start + len;
    match &*buffer.on_host().snapshot() {
        HostData::F32(v) => HostData::F32(v[range].to_vec()),
        HostData::F16(v) => HostData::F16(v[range].to_vec()),
        HostData::BF16(v) => HostData::BF16(v[range].to_vec()),
        HostData::I32(v) => HostData::I32(v[range].to_vec()),
        HostData::U32(v) => HostData::U32(v[range].to_vec()),
    }
}

/// A buffer that a kernel writes must not be bound a second time: wgpu refuses it, and twins would read half-written
/// data.
fn check_aliasing(kernel: &Kernel, operands: &[&Buffer]) {
    let bindings = kernel.bindings.iter().filter(|b| b.is_operand());
    for (i, (binding, written)) in bindings.zip(operands).enumerate() {
        if matches!(binding, Binding::Write(_) | Binding::ReadWrite(_)) {
            let clash = operands.iter().enumerate().any(|(j, other)| i != j && std::ptr::eq(*written, *other));
            assert!(!clash, "{}: `{}` is bound twice, and written", kernel.name, binding.name());
        }
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.body {
            Body::Reference { sanitizer: Some(_), .. } => {
                write!(f, "sanitizer (subgroups of {})", self.sanitized_subgroup())
            }
            Body::Reference { rounding: true, .. } => f.write_str("reference"),
            Body::Reference { rounding: false, .. } => f.write_str("reference (unrounded)"),
            Body::Gpu(gpu) => f.write_str(&gpu.facts.name),
            Body::Shadow(gpu, _) => write!(f, "shadow of {}", gpu.facts.name),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Recorded work that nobody read is still the user's: an optimiser step before the last handle goes, say.
        if let Body::Gpu(gpu) | Body::Shadow(gpu, _) = &self.body {
            gpu.flush();
        }
    }
}
