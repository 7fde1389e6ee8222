//! Compute pipelines and bind groups, each made once.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::counters::AtomicCounters;
use super::kernel::{Binding, Kernel};
use super::pool::Buffer;
use super::profile::{self, SpanKind};
use super::{pool::Memory, shader};
use crate::{Error, Result};

/// Bytes of the params block that every pipeline can see.
pub(crate) const PARAMS_BYTES: u64 = 256;

/// Bind groups that are kept before the cache is emptied. A training step has some hundred, so this is many different
/// programs; without an end, a loop over ever new shapes would keep every buffer that it ever used alive.
const MAX_BIND_GROUPS: usize = 8192;

/// Which bindings of group 0 are written, bit by bit, and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Access {
    count: u8,
    written: u16,
}

impl Access {
    fn of(kernel: &Kernel) -> Self {
        let bits = kernel.bindings.iter().enumerate().filter(|(_, b)| b.is_written());
        Access { count: kernel.bindings.len() as u8, written: bits.fold(0, |acc, (i, _)| acc | 1 << i) }
    }
}

struct Layout {
    number: u32,
    storage: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// A pipeline with what its bind groups look like.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub wgpu: wgpu::ComputePipeline,
    access: Access,
}

type BindKey = (u32, SmallVec<[u64; 8]>);

pub(crate) struct Pipelines {
    params_layout: wgpu::BindGroupLayout,
    layouts: FxHashMap<Access, Layout>,
    pipelines: FxHashMap<(usize, usize), Pipeline>,
    replacements: FxHashMap<(usize, usize), String>,
    bind_groups: FxHashMap<BindKey, wgpu::BindGroup>,
    max_storage_buffers: u32,
}

impl Pipelines {
    pub fn new(device: &wgpu::Device) -> Self {
        let params_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("params"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: true,
                    min_binding_size: wgpu::BufferSize::new(PARAMS_BYTES),
                },
                count: None,
            }],
        });
        Pipelines {
            params_layout,
            layouts: FxHashMap::default(),
            pipelines: FxHashMap::default(),
            replacements: FxHashMap::default(),
            bind_groups: FxHashMap::default(),
            max_storage_buffers: device.limits().max_storage_buffers_per_shader_stage,
        }
    }

    /// The bind group of a params arena.
    pub fn params_group(&self, device: &wgpu::Device, arena: &wgpu::Buffer) -> wgpu::BindGroup {
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("params"),
            layout: &self.params_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: arena,
                    offset: 0,
                    size: wgpu::BufferSize::new(PARAMS_BYTES),
                }),
            }],
        })
    }

    /// Puts another WGSL text in a kernel's place, or the kernel's own back.
    pub fn replace(&mut self, kernel: &'static Kernel, variant: usize, wgsl: Option<String>) {
        let key = (kernel.id(), variant);
        self.pipelines.remove(&key);
        match wgsl {
            Some(text) => self.replacements.insert(key, text),
            None => self.replacements.remove(&key),
        };
    }

    /// The pipeline of a kernel variant, compiled at first use.
    pub fn get(
        &mut self,
        device: &wgpu::Device,
        kernel: &'static Kernel,
        variant: usize,
        counters: &AtomicCounters,
    ) -> Result<Pipeline> {
        let key = (kernel.id(), variant);
        if let Some(found) = self.pipelines.get(&key) {
            return Ok(found.clone());
        }
        let pipeline = self.compile(device, kernel, variant)?;
        AtomicCounters::add(&counters.pipelines_created, 1);
        self.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&mut self, device: &wgpu::Device, kernel: &'static Kernel, variant: usize) -> Result<Pipeline> {
        let _span = profile::span(SpanKind::Compile, "compile");
        let label = kernel.label(variant);
        if kernel.bindings.len() > self.max_storage_buffers as usize {
            let (needed, max) = (kernel.bindings.len(), self.max_storage_buffers);
            let detail = format!("kernel {label} binds {needed} storage buffers, the device allows {max}");
            return Err(Error::Limit { op: kernel.name, detail });
        }
        let refused = |message: String| Error::Kernel { kernel: label.clone(), message };
        let text = match self.replacements.get(&(kernel.id(), variant)) {
            Some(text) => shader::replacement_text(kernel, variant, text).map(|text| text.text),
            None => shader::assemble(kernel, variant),
        }
        .map_err(refused)?;
        let access = Access::of(kernel);
        let layout = self.layout(device, access);
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let wgpu = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some(kernel.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write shared memory before they read it; zeroing it first is slow to compile and to run.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let internal = pollster::block_on(internal.pop());
        if let Some(error) = pollster::block_on(scope.pop()).or(internal) {
            return Err(Error::Kernel { kernel: label, message: error.to_string().trim().into() });
        }
        Ok(Pipeline { wgpu, access })
    }

    fn layout(&mut self, device: &wgpu::Device, access: Access) -> &Layout {
        let number = self.layouts.len() as u32;
        let params_layout = &self.params_layout;
        self.layouts.entry(access).or_insert_with(|| {
            let entries: Vec<_> = (0..u32::from(access.count))
                .map(|binding| wgpu::BindGroupLayoutEntry {
                    binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Storage { read_only: access.written >> binding & 1 == 0 },
                        has_dynamic_offset: false,
                        // Stated so that wgpu checks it once, at bind-group creation, and not at every dispatch. No
                        // buffer is smaller, and no element is larger.
                        min_binding_size: wgpu::BufferSize::new(16),
                    },
                    count: None,
                })
                .collect();
            let storage = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("storage"),
                entries: &entries,
            });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&storage), Some(params_layout)],
                immediate_size: 0,
            });
            Layout { number, storage, pipeline }
        })
    }

    /// The bind group of these buffers for this pipeline. `faults` is bound where the kernel asks for it.
    pub fn bind_group(
        &mut self,
        device: &wgpu::Device,
        kernel: &Kernel,
        pipeline: &Pipeline,
        operands: &[&Buffer],
        faults: &wgpu::Buffer,
        counters: &AtomicCounters,
    ) -> wgpu::BindGroup {
        let layout = &self.layouts[&pipeline.access];
        let mut given = operands.iter();
        let mut ids = SmallVec::<[u64; 8]>::new();
        let mut buffers = SmallVec::<[&wgpu::Buffer; 8]>::new();
        for binding in kernel.bindings {
            if let Binding::Faults | Binding::FaultFlag = binding {
                ids.push(0);
                buffers.push(faults);
                continue;
            }
            let operand = given.next().expect("a buffer for every operand");
            let Memory::Gpu { id, wgpu, .. } = &operand.memory else {
                unreachable!("`apply` refuses operands of different devices")
            };
            ids.push(*id);
            buffers.push(wgpu);
        }
        let key = (layout.number, ids);
        if let Some(found) = self.bind_groups.get(&key) {
            AtomicCounters::add(&counters.bind_group_hits, 1);
            return found.clone();
        }
        AtomicCounters::add(&counters.bind_group_misses, 1);
        let entries: SmallVec<[wgpu::BindGroupEntry<'_>; 8]> = (0..)
            .zip(&buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout.storage,
            entries: &entries,
        });
        if self.bind_groups.len() >= MAX_BIND_GROUPS {
            self.bind_groups.clear();
        }
        self.bind_groups.insert(key, group.clone());
        group
    }

    /// Drops the bind groups of buffers that are gone; they would keep the memory alive.
    pub fn forget(&mut self, ids: &[u64]) {
        let gone: rustc_hash::FxHashSet<u64> = ids.iter().copied().collect();
        self.bind_groups.retain(|(_, buffers), _| !buffers.iter().any(|id| gone.contains(id)));
    }
}
