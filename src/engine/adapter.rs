//! Adapters: which there are, which is best, and what is asked of them.

use std::fmt;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::OnceLock;

use super::stream::StreamLimits;
use crate::{Error, Result};

/// How a GPU device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GpuOptions {
    /// Ask for exactly WebGPU's guaranteed limits and no optional feature, instead of all that the adapter offers.
    pub webgpu_minimum: bool,
    /// Do without timestamps inside of passes, which Apple's GPUs don't have: [`Timing::PassTimestamps`](super::Timing).
    pub no_timestamps_in_passes: bool,
}

impl GpuOptions {
    /// All that the adapter offers.
    pub fn new() -> Self {
        Self::default()
    }

    /// WebGPU's guaranteed limits and no optional feature: what any adapter can run, and the setting that tests use to
    /// see that everything works there.
    pub fn webgpu_minimum() -> Self {
        GpuOptions { webgpu_minimum: true, ..Self::default() }
    }
}

/// What kernels and the stream are chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterFacts {
    /// The adapter's name.
    pub name: String,
    /// Driver and its version.
    pub driver: String,
    /// Vulkan, Metal, Dx12, Gl or BrowserWebGpu.
    pub backend: String,
    /// Discrete, integrated, virtual or software.
    pub kind: AdapterKind,
    /// Smallest and largest subgroup.
    pub subgroup: (u32, u32),
    /// Rows of the square matrices of f16 that a subgroup multiplies as a whole, with sums in f32, smallest first.
    pub matrices: Vec<u32>,
    /// Optional features that lumigrad has use for.
    pub features: Vec<&'static str>,
    /// What the adapter allows.
    pub limits: AdapterLimits,
}

/// The limits that decide what fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterLimits {
    /// Storage buffers that one kernel can bind.
    pub storage_buffers: u32,
    /// Bytes of the largest tensor.
    pub binding_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Threads of a workgroup.
    pub workgroup_threads: u32,
}

/// The kind of an adapter, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares memory with the processor.
    Integrated,
    /// A GPU handed through to a virtual machine.
    Virtual,
    /// Anything else that claims to be a GPU.
    Other,
    /// A driver that runs shaders on the processor.
    Software,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdapterKind::Discrete => "discrete GPU",
            AdapterKind::Integrated => "integrated GPU",
            AdapterKind::Virtual => "virtual GPU",
            AdapterKind::Other => "other",
            AdapterKind::Software => "software",
        })
    }
}

impl AdapterFacts {
    pub(crate) fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let offered = adapter.features();
        let named = [
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::SHADER_F16, "f16"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
            (wgpu::Features::IMMEDIATES, "immediates"),
            (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrix"),
        ];
        AdapterFacts {
            driver: [info.driver, info.driver_info].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" "),
            backend: format!("{:?}", info.backend),
            kind: kind(info.device_type, &info.name),
            subgroup: (info.subgroup_min_size, info.subgroup_max_size),
            matrices: matrices(&adapter.cooperative_matrix_properties()),
            features: named.iter().filter(|(f, _)| offered.contains(*f)).map(|(_, n)| *n).collect(),
            limits: AdapterLimits {
                storage_buffers: limits.max_storage_buffers_per_shader_stage,
                binding_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
                workgroup_bytes: limits.max_compute_workgroup_storage_size,
                workgroup_threads: limits.max_compute_invocations_per_workgroup,
            },
            name: info.name,
        }
    }

    /// Whether shaders run on the processor, where barriers and dispatches are dear and workgroup memory gains nothing.
    pub fn is_software(&self) -> bool {
        self.kind == AdapterKind::Software
    }

    /// Whether this is Mesa's software driver for Vulkan.
    pub(crate) fn is_lavapipe(&self) -> bool {
        self.backend == "Vulkan" && self.name.starts_with("llvmpipe")
    }

    /// Scalar operations of one dispatch, so that it stays far below the 2 s after which a driver may end it.
    pub(crate) fn max_work(&self) -> u64 {
        self.stream_limits().work
    }

    /// On lavapipe `submit` blocks while the submission before it runs, so few long ones are better. A GPU should rather
    /// get its work early.
    pub(crate) fn stream_limits(&self) -> StreamLimits {
        let (dispatches, work) = match self.kind {
            AdapterKind::Software => (512, 4e9),
            AdapterKind::Integrated => (128, 2e10),
            AdapterKind::Discrete => (128, 1e12),
            AdapterKind::Virtual | AdapterKind::Other => (128, 1e10),
        };
        StreamLimits { dispatches, work: work as u64 }
    }
}

impl fmt::Display for AdapterFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.name, self.kind, self.backend)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        f.write_str(")")
    }
}

/// What subgroups need to multiply matrices of f16.
pub(crate) const MATRIX_FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16).union(wgpu::Features::SUBGROUP);

/// The sizes among these that are square, of f16, with sums in f32.
fn matrices(offered: &[wgpu::CooperativeMatrixProperties]) -> Vec<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let fits = |rows: u32| {
        offered.iter().any(|p| [p.m_size, p.n_size, p.k_size] == [rows; 3] && (p.ab_type, p.cr_type) == (F16, F32))
    };
    [8, 16].into_iter().filter(|rows| fits(*rows)).collect()
}

fn kind(device_type: wgpu::DeviceType, name: &str) -> AdapterKind {
    // GL drivers do not tell what they are; the common software ones have these names.
    let software = ["llvmpipe", "swiftshader", "softpipe", "lavapipe", "basic render"];
    let lower = name.to_lowercase();
    match device_type {
        _ if software.iter().any(|s| lower.contains(s)) => AdapterKind::Software,
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Other,
    }
}

/// Every adapter that can run lumigrad, best first: discrete before integrated before software, native backends
/// before GL. Where a native backend has a GPU, GL is not looked at: it would show the same one again, and to ask it
/// takes long and makes some drivers complain about a missing display.
pub(crate) async fn usable() -> Vec<wgpu::Adapter> {
    listed(|| true).await
}

/// The first of [`usable`]. Where there is a software driver and no card that GL could know, GL is not asked: that takes
/// half as long again as all the rest.
async fn best() -> Option<wgpu::Adapter> {
    listed(may_have_card).await.into_iter().next()
}

/// [`usable`]; beside a native software driver, GL is looked at only if `ask_gl` says so.
async fn listed(ask_gl: impl FnOnce() -> bool) -> Vec<wgpu::Adapter> {
    let mut adapters = usable_of(wgpu::Backends::all() - wgpu::Backends::GL).await;
    if adapters.is_empty() || adapters.iter().all(|a| AdapterFacts::of(a).is_software()) && ask_gl() {
        adapters.extend(usable_of(wgpu::Backends::GL).await);
    }
    adapters.sort_by_key(|a| {
        let info = a.get_info();
        (kind(info.device_type, &info.name), info.backend == wgpu::Backend::Gl)
    });
    adapters
}

/// Whether the system has a device file that some driver for GL works through.
fn may_have_card() -> bool {
    let render_node = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|e| e.file_name().to_string_lossy().contains("render"))
    };
    cfg!(not(target_os = "linux"))
        || std::fs::read_dir("/dev/dri").is_ok_and(|mut entries| entries.any(render_node))
        || ["/dev/dxg", "/dev/nvidiactl"].iter().any(|path| std::path::Path::new(path).exists())
}

async fn usable_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut adapters = match native_instance(backends) {
        Some(kept) => kept.enumerate_adapters(backends).await,
        None => make_instance(backends).enumerate_adapters(backends).await,
    };
    adapters.retain(is_usable);
    adapters
}

fn make_instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= backends;
    wgpu::Instance::new(descriptor)
}

/// The process's connection to its native drivers, made once and kept: some versions of Vulkan's loader (1.4.309 is one)
/// crash when threads make and drop instances beside each other. Not for GL, all adapters of an instance of which share one
/// context, that only one thread at a time may use.
#[cfg(not(target_arch = "wasm32"))]
fn native_instance(backends: wgpu::Backends) -> Option<&'static wgpu::Instance> {
    static KEPT: OnceLock<wgpu::Instance> = OnceLock::new();
    (backends != wgpu::Backends::GL).then(|| KEPT.get_or_init(|| make_instance(backends)))
}

/// A browser has no loader.
#[cfg(target_arch = "wasm32")]
fn native_instance(_: wgpu::Backends) -> Option<&'static wgpu::Instance> {
    None
}

fn is_usable(adapter: &wgpu::Adapter) -> bool {
    let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
    let (needed, offered) = (wgpu::Limits::default(), adapter.limits());
    compute
        && offered.max_storage_buffers_per_shader_stage >= needed.max_storage_buffers_per_shader_stage
        && offered.max_storage_buffer_binding_size >= needed.max_storage_buffer_binding_size
        && offered.max_compute_invocations_per_workgroup >= needed.max_compute_invocations_per_workgroup
        && offered.max_compute_workgroup_storage_size >= needed.max_compute_workgroup_storage_size
}

/// The best adapter, or the best one with `part` in its name.
pub(crate) async fn choose(part: Option<&str>) -> Result<wgpu::Adapter> {
    let Some(part) = part else {
        return best().await.ok_or(Error::NoAdapter { detail: String::new() });
    };
    let adapters = usable().await;
    let wanted = part.to_lowercase();
    let names: Vec<_> = adapters.iter().map(|a| a.get_info().name).collect();
    adapters.into_iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted)).ok_or_else(|| {
        let mut available = vec!["reference".to_string(), "gpu".into(), "shadow".into()];
        available.extend(names);
        Error::UnknownDevice { name: part.to_string(), available: available.join(", ") }
    })
}

pub(crate) async fn request_device(
    adapter: &wgpu::Adapter,
    options: &GpuOptions,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    let matrices = !AdapterFacts::of(adapter).matrices.is_empty() && adapter.features().contains(MATRIX_FEATURES);
    match request_device_with(adapter, options, matrices).await {
        Err(error) if matrices => {
            log::warn!("{error}; without matrices of subgroups it may");
            request_device_with(adapter, options, false).await
        }
        opened => opened,
    }
}

async fn request_device_with(
    adapter: &wgpu::Adapter,
    options: &GpuOptions,
    matrices: bool,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    let mut wanted = wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
    if !options.no_timestamps_in_passes {
        wanted |= wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    }
    if matrices {
        wanted |= MATRIX_FEATURES;
    }
    let (required_limits, required_features) = if options.webgpu_minimum {
        (wgpu::Limits::default(), wgpu::Features::empty())
    } else {
        (adapter.limits(), adapter.features() & wanted)
    };
    // wgpu asks for this where a feature may still have faults; the doctor looks at what it computes.
    #[expect(unsafe_code, reason = "the only way to say so")]
    let experimental_features = match required_features.intersects(wgpu::Features::all_experimental_mask()) {
        true => unsafe { wgpu::ExperimentalFeatures::enabled() },
        false => wgpu::ExperimentalFeatures::disabled(),
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("lumigrad"),
        required_features,
        experimental_features,
        required_limits,
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    };
    let name = adapter.get_info().name;
    adapter.request_device(&descriptor).await.map_err(|e| Error::Driver(format!("{name} can't be opened: {e}")))
}
