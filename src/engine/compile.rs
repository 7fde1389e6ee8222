//! Compiling pipelines.
//!
//! A dispatch that is recorded only says which pipeline it needs. What is not there yet is compiled when the dispatches are
//! submitted, on as many threads as there are processors. The threads end before the submission, so none is at work in a
//! driver when the program ends.

use std::sync::{Arc, OnceLock};

use super::kernel::Kernel;
use super::pipelines::Access;
use super::shader;
use crate::{Error, Result};

/// A pipeline, compiled or not.
#[derive(Clone)]
pub(crate) struct Pipeline(Arc<Plan>);

/// What a pipeline is made of.
struct Plan {
    kernel: &'static Kernel,
    variant: usize,
    /// A text in place of the kernel's own.
    replacement: Option<String>,
    access: Access,
    layout: wgpu::PipelineLayout,
    compiled: OnceLock<Result<wgpu::ComputePipeline, String>>,
}

impl Pipeline {
    pub fn new(
        kernel: &'static Kernel,
        variant: usize,
        replacement: Option<String>,
        access: Access,
        layout: wgpu::PipelineLayout,
    ) -> Pipeline {
        Pipeline(Arc::new(Plan { kernel, variant, replacement, access, layout, compiled: OnceLock::new() }))
    }

    pub fn kernel(&self) -> (&'static Kernel, usize) {
        (self.0.kernel, self.0.variant)
    }

    /// Whether a text stands in the place of the kernel's own.
    pub fn is_replaced(&self) -> bool {
        self.0.replacement.is_some()
    }

    /// How it uses what is bound.
    pub fn access(&self) -> Access {
        self.0.access
    }

    pub fn is(&self, other: &Pipeline) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The pipeline, if it is compiled.
    pub fn compiled(&self) -> Option<&wgpu::ComputePipeline> {
        self.0.compiled.get()?.as_ref().ok()
    }

    /// # Errors
    /// [`Error::Kernel`] when it was compiled and refused.
    pub fn refusal(&self) -> Result<()> {
        match self.0.compiled.get() {
            Some(Err(message)) => {
                Err(Error::Kernel { kernel: self.0.kernel.label(self.0.variant), message: message.clone() })
            }
            _ => Ok(()),
        }
    }

    fn compile(&self, device: &wgpu::Device, cache: Option<&wgpu::PipelineCache>) {
        self.0.compiled.get_or_init(|| self.0.compile(device, cache));
    }
}

impl Plan {
    fn compile(
        &self,
        device: &wgpu::Device,
        cache: Option<&wgpu::PipelineCache>,
    ) -> Result<wgpu::ComputePipeline, String> {
        let text = match &self.replacement {
            Some(text) => shader::replacement_text(self.kernel, self.variant, text)?.text,
            None => shader::assemble(self.kernel, self.variant)?,
        };
        let label = self.kernel.label(self.variant);
        // Scopes are the thread's own.
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&self.layout),
            module: &module,
            entry_point: Some(self.kernel.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write shared memory before they read it; zeroing it first is slow to compile and to run.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache,
        });
        let internal = pollster::block_on(internal.pop());
        match pollster::block_on(scope.pop()).or(internal) {
            Some(error) => Err(error.to_string().trim().into()),
            None => Ok(pipeline),
        }
    }
}

/// Compiles pipelines, several at a time.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn all(device: &wgpu::Device, cache: Option<&wgpu::PipelineCache>, pipelines: &[Pipeline]) {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(pipeline) = pipelines.get(next.fetch_add(1, Relaxed)) {
            pipeline.compile(device, cache);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..processors().min(pipelines.len()) {
            // Without another thread this one does it all.
            let _ = std::thread::Builder::new().name("lumigrad compile".into()).spawn_scoped(scope, work);
        }
        work();
    });
}

/// A browser has one thread.
#[cfg(target_arch = "wasm32")]
pub(crate) fn all(device: &wgpu::Device, cache: Option<&wgpu::PipelineCache>, pipelines: &[Pipeline]) {
    pipelines.iter().for_each(|pipeline| pipeline.compile(device, cache));
}

/// How many threads can work at a time.
pub(crate) fn processors() -> usize {
    // Asking the system takes as long as encoding some dozen dispatches: it looks through the limits of control groups.
    static FOUND: OnceLock<usize> = OnceLock::new();
    let found = || std::thread::available_parallelism().map_or(1, usize::from);
    if cfg!(target_arch = "wasm32") { 1 } else { *FOUND.get_or_init(found) }
}

#[cfg(test)]
mod tests {
    use crate::engine::kernel::{Binding, Bound, Dispatch, Grid, Kernel, Params, ParamsLayout, Variant, params};
    use crate::engine::{Buffer, gpu_if_any};
    use crate::{DType, Error};

    params! {
        struct Nothing {
            n: [u32; 4],
        }
    }

    /// Fine as a text; only the driver, or what wgpu knows of it, can find that the entry point is missing.
    static REFUSED: Kernel = Kernel {
        name: "refused",
        source: &["@compute @workgroup_size(1) fn main() {}"],
        entry: "elsewhere",
        bindings: &[Binding::Write("y")],
        params: ParamsLayout::of::<Nothing>(),
        variants: Variant::ONLY,
        grid: |_| Grid::groups(1),
        reference: |_| Ok(()),
        bound: |_| Bound::Exact,
    };

    #[test]
    fn a_refused_kernel_is_an_error_of_the_next_read_and_then_of_its_dispatches() {
        let Some(device) = gpu_if_any() else { return };
        let y = device.alloc(DType::F32, 4).unwrap();
        let params = Nothing { n: [0; 4] };
        let run = || {
            let params = Params(bytemuck::bytes_of(&params));
            device.dispatch(Dispatch { kernel: &REFUSED, variant: 0, operands: &[&y], params, grid: Grid::groups(1) })
        };
        let read = |y: &Buffer| device.read(y, 0, 4);
        let is_refused = |error: Error| matches!(error, Error::Kernel { kernel, .. } if kernel == "refused");
        run().unwrap();
        assert!(is_refused(read(&y).unwrap_err()));
        read(&y).unwrap();
        assert!(is_refused(run().unwrap_err()));
        // When the text is checked first, it is the dispatch that fails.
        assert!(is_refused(device.prepare(&REFUSED, 0).unwrap_err()));
        device.synchronize().unwrap();
    }
}
