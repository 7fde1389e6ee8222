//! A second device of lavapipe, which compiles a part of the new kernels.
//!
//! lavapipe generates a kernel's machine code at its first dispatch, in the one thread that runs a device's submissions, and
//! asks Mesa's cache on disk before it does. So, while a submission with new kernels runs for longer than it would if the
//! cache had them, another device of the same adapter compiles them too, from the last one to the first, until the submission
//! is through: what the helper has done, the first device finds in the cache. Nothing is computed: a dispatch of no
//! workgroups compiles as any other. It has the params of the real one, since lavapipe looks at them: when most of a kernel
//! is dead code for the params of its first dispatch, it compiles only the rest.

#![cfg_attr(target_arch = "wasm32", allow(dead_code, unused_imports))]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::adapter::{AdapterFacts, GpuOptions, request_device};
use super::compile::{self, Pipeline};
use super::pipelines::{PARAMS_BYTES, Pipelines};

/// What the first dispatch of a kernel that the cache has takes at most, roughly; one that it has not takes 20 to 400 ms.
const PATIENCE: Duration = Duration::from_millis(2);

/// Devices beside the first; each has some megabytes of its own.
const MAX_HELPERS: usize = 3;

/// A new pipeline, and the params of its first dispatch.
pub(crate) struct FirstUse {
    pub pipeline: Pipeline,
    pub params: Vec<u8>,
}

pub(crate) struct Helper {
    adapter: wgpu::Adapter,
    options: GpuOptions,
    devices: Vec<Second>,
}

impl Helper {
    /// A helper, where one is of use: the driver is lavapipe and has its cache, and there is a processor to spare.
    pub fn of(adapter: wgpu::Adapter, facts: &AdapterFacts, options: &GpuOptions) -> Option<Helper> {
        let off = ["MESA_SHADER_CACHE_DISABLE", "MESA_GLSL_CACHE_DISABLE"].iter().any(|name| is_on(name));
        let useful = facts.is_lavapipe() && !off && compile::processors() > 1;
        useful.then(|| Helper { adapter, options: *options, devices: Vec::new() })
    }

    /// Compiles what a submission needs for the first time, while it runs, unless it has soon.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn help(&mut self, fresh: &[FirstUse], has_run: impl Fn(Duration) -> bool) {
        // The first device is at the first one already.
        let Some((_, rest)) = fresh.split_first().filter(|(_, rest)| !rest.is_empty()) else { return };
        if has_run(PATIENCE * fresh.len() as u32) {
            return;
        }
        let helpers = (compile::processors() - 1).min(MAX_HELPERS).min(rest.len());
        while self.devices.len() < helpers {
            let Some(second) = Second::open(&self.adapter, &self.options) else { return };
            self.devices.push(second);
        }
        let (left, stop) = (AtomicUsize::new(rest.len()), AtomicBool::new(false));
        let work = |second: &mut Second| {
            while !stop.load(Relaxed) {
                let Ok(i) = left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)) else { return };
                second.compile(&rest[i - 1]);
            }
        };
        std::thread::scope(|scope| {
            for second in &mut self.devices[..helpers] {
                scope.spawn(|| work(second));
            }
            while left.load(Relaxed) > 0 && !has_run(Duration::from_millis(10)) {}
            stop.store(true, Relaxed);
        });
        log::debug!("compiled {} of {} new kernels ahead", rest.len() - left.load(Relaxed), fresh.len());
    }
}

#[cfg(target_arch = "wasm32")]
impl Helper {
    /// There is no second thread.
    pub fn help(&mut self, _: &[FirstUse], _: impl Fn(Duration) -> bool) {}
}

fn is_on(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "y"))
}

/// A device that computes nothing.
struct Second {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: Pipelines,
    arena: wgpu::Buffer,
}

impl Second {
    fn open(adapter: &wgpu::Adapter, options: &GpuOptions) -> Option<Second> {
        // Whatever fails here, the first device does without help.
        let told = |error: &crate::Error| log::debug!("no device to compile ahead: {error}");
        let (device, queue) = pollster::block_on(request_device(adapter, options)).inspect_err(told).ok()?;
        device.on_uncaptured_error(std::sync::Arc::new(|error| log::debug!("while compiling ahead: {error}")));
        let arena = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: PARAMS_BYTES,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let pipelines = Pipelines::new(&device, arena.clone());
        Some(Second { device, queue, pipelines, arena })
    }

    fn compile(&mut self, first: &FirstUse) {
        let (kernel, variant) = first.pipeline.kernel();
        let Ok(own) = self.pipelines.declare(&self.device, kernel, variant, None) else { return };
        compile::all(&self.device, None, std::slice::from_ref(&own));
        let Some(compiled) = own.compiled() else { return };
        let group = self.pipelines.empty_group(&self.device, &own);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(compiled);
        pass.set_bind_group(0, &group, &[0]);
        pass.dispatch_workgroups(0, 0, 0);
        drop(pass);
        self.queue.write_buffer(&self.arena, 0, &first.params);
        self.queue.submit([encoder.finish()]);
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }
}
