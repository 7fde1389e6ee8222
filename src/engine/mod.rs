//! The engine: devices, kernels, and everything that names wgpu.
//!
//! The order of one dispatch: [`Device`] → (reference) [`host`](HostCall) or (GPU) stream → pipelines, pool.

mod adapter;
mod ahead;
pub(crate) mod cache;
mod compare;
mod compile;
mod counters;
mod device;
pub(crate) mod fault;
pub(crate) mod fusion;
mod gpu;
mod helper;
mod host;
pub(crate) mod kernel;
pub(crate) mod memory;
mod mirrored;
mod pipelines;
pub(crate) mod place;
mod pool;
pub(crate) mod profile;
pub(crate) mod recording;
pub(crate) mod reflect;
mod sanitizer;
pub(crate) mod shader;
pub(crate) mod shadow;
mod stream;
pub(crate) mod tape;
mod timer;
pub(crate) mod tuner;

pub use adapter::{AdapterFacts, AdapterKind, AdapterLimits, GpuOptions};
pub use cache::CACHE_VARIABLE;
pub use compare::{Comparison, Worst};
pub use counters::Counters;
pub use device::{DEVICE_VARIABLE, Device, RandomState};
pub use host::{Floats, HostCall, Ints, Words};
pub use kernel::{
    Binding, Bound, Grid, Item, Kernel, MAX_GROUPS, MAX_RANK, Params, ParamsBlock, ParamsLayout, Variant, WORKGROUP,
};
pub use shader::{assemble, imports};
pub use shadow::Observer;
pub use timer::Timing;

pub(crate) use kernel::Dispatch;
pub(crate) use pool::Buffer;

/// The GPU that unit tests run on, if there is one.
///
/// # Panics
/// When there is none and `LUMIGRAD_REQUIRE_GPU` is set.
#[cfg(test)]
pub(crate) fn gpu_if_any() -> Option<Device> {
    match Device::gpu() {
        Ok(device) => Some(device),
        Err(crate::Error::NoAdapter { .. }) if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none() => {
            eprintln!("no GPU: nothing is checked");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
