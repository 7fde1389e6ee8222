//! Compute pipelines and bind groups, each made once.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::cache::PipelineStore;
use super::compile::{self, Pipeline};
use super::counters::AtomicCounters;
use super::kernel::Kernel;
use super::pool::{Buffer, Memory};
use super::profile::{self, SpanKind};
use crate::{Error, Result};

/// Bytes of the params block that every pipeline can see.
pub(crate) const PARAMS_BYTES: u64 = 256;

/// Where they are bound: behind the most storage buffers that a kernel has. In a group of their own they would be a
/// second command to wgpu and the driver at each dispatch (`cargo bench --bench engine -- "a dispatch each"`).
pub(crate) const PARAMS_BINDING: u32 = 8;

/// No buffer has fewer bytes, and no element has more.
const SMALLEST_BUFFER: u64 = 16;

/// Bind groups that are kept before the cache is emptied. A training step has some hundred, so this is many different
/// programs; without an end, a loop over ever new shapes would keep every buffer that it ever used alive.
const MAX_BIND_GROUPS: usize = 8192;

/// Which bindings of group 0 are written, bit by bit, and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Access {
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
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

type BindKey = (u32, SmallVec<[u64; 8]>);

fn entry(binding: u32, ty: wgpu::BufferBindingType, bytes: u64) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: ty == wgpu::BufferBindingType::Uniform,
            // Stated so that wgpu checks it once, at bind-group creation, and not at every dispatch.
            min_binding_size: wgpu::BufferSize::new(bytes),
        },
        count: None,
    }
}

/// Buffers, bound.
pub(crate) struct Bound {
    pub group: wgpu::BindGroup,
    /// In the order of the bindings, with their numbers; the fault buffer's is 0.
    pub buffers: SmallVec<[(u64, wgpu::Buffer); 8]>,
}

pub(crate) struct Pipelines {
    arena: wgpu::Buffer,
    layouts: FxHashMap<Access, Layout>,
    pipelines: FxHashMap<(usize, usize), Pipeline>,
    replacements: FxHashMap<(usize, usize), String>,
    bound: FxHashMap<BindKey, Arc<Bound>>,
    /// Those that recorded commands need and that are not compiled yet.
    waiting: Vec<Pipeline>,
    /// What the driver keeps of them on disk.
    pub store: Option<PipelineStore>,
    max_storage_buffers: u32,
}

impl Pipelines {
    /// `arena` holds the params of dispatches.
    pub fn new(device: &wgpu::Device, arena: wgpu::Buffer) -> Self {
        Pipelines {
            arena,
            layouts: FxHashMap::default(),
            pipelines: FxHashMap::default(),
            replacements: FxHashMap::default(),
            bound: FxHashMap::default(),
            waiting: Vec::new(),
            store: None,
            max_storage_buffers: device.limits().max_storage_buffers_per_shader_stage,
        }
    }

    /// Puts another WGSL text in a kernel's place, or the kernel's own back.
    pub fn replace(&mut self, kernel: &'static Kernel, variant: usize, wgsl: Option<String>) {
        let key = (kernel.id(), variant);
        self.pipelines.remove(&key);
        self.waiting.retain(|pipeline| {
            let (waiting, of) = pipeline.kernel();
            (waiting.id(), of) != key
        });
        match wgsl {
            Some(text) => self.replacements.insert(key, text),
            None => self.replacements.remove(&key),
        };
    }

    /// The pipeline of a kernel variant. At first use it only waits to be compiled, with others, by
    /// [`Self::compile_waiting`]; a text that stands in a kernel's place is compiled here and now, so that its mistakes come
    /// out where it is used.
    ///
    /// # Errors
    /// When the device can't run the kernel or has refused it before.
    pub fn get(
        &mut self,
        device: &wgpu::Device,
        kernel: &'static Kernel,
        variant: usize,
        counters: &AtomicCounters,
    ) -> Result<Pipeline> {
        let key = (kernel.id(), variant);
        if let Some(found) = self.pipelines.get(&key) {
            found.refusal()?;
            return Ok(found.clone());
        }
        let replacement = self.replacements.get(&key).cloned();
        let at_once = replacement.is_some();
        let pipeline = self.declare(device, kernel, variant, replacement)?;
        if at_once {
            self.compile(device, std::slice::from_ref(&pipeline), counters);
            pipeline.refusal()?;
        } else {
            self.waiting.push(pipeline.clone());
        }
        self.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// [`Self::get`], compiled.
    ///
    /// # Errors
    /// When the device refuses the kernel.
    pub fn ready(
        &mut self,
        device: &wgpu::Device,
        kernel: &'static Kernel,
        variant: usize,
        counters: &AtomicCounters,
    ) -> Result<Pipeline> {
        let pipeline = self.get(device, kernel, variant, counters)?;
        if pipeline.compiled().is_none() {
            self.compile_waiting(device, counters, |waiting| waiting.is(&pipeline));
        }
        pipeline.refusal()?;
        Ok(pipeline)
    }

    /// A pipeline that is still to be compiled.
    pub fn declare(
        &mut self,
        device: &wgpu::Device,
        kernel: &'static Kernel,
        variant: usize,
        replacement: Option<String>,
    ) -> Result<Pipeline> {
        if kernel.bindings.len() > self.max_storage_buffers as usize {
            let (label, needed, max) = (kernel.label(variant), kernel.bindings.len(), self.max_storage_buffers);
            let detail = format!("kernel {label} binds {needed} storage buffers, the device allows {max}");
            return Err(Error::Limit { op: kernel.name, detail });
        }
        let access = Access::of(kernel);
        let layout = self.layout(device, access).pipeline.clone();
        Ok(Pipeline::new(kernel, variant, replacement, access, layout))
    }

    /// Compiles the pipelines that wait for it and are wanted, and gives them in the order in which they were asked for.
    pub fn compile_waiting(
        &mut self,
        device: &wgpu::Device,
        counters: &AtomicCounters,
        is_wanted: impl FnMut(&mut Pipeline) -> bool,
    ) -> Vec<Pipeline> {
        let wanted: Vec<Pipeline> = self.waiting.extract_if(.., is_wanted).collect();
        self.compile(device, &wanted, counters);
        wanted
    }

    fn compile(&mut self, device: &wgpu::Device, pipelines: &[Pipeline], counters: &AtomicCounters) {
        if pipelines.is_empty() {
            return;
        }
        let _span = profile::span(SpanKind::Compile, "compile");
        compile::all(device, self.store.as_ref().map(|store| &store.cache), pipelines);
        AtomicCounters::add(&counters.pipelines_created, pipelines.len() as u64);
        if let Some(store) = &mut self.store {
            store.keep();
        }
    }

    fn layout(&mut self, device: &wgpu::Device, access: Access) -> &Layout {
        let number = self.layouts.len() as u32;
        self.layouts.entry(access).or_insert_with(|| {
            let storage = (0..u32::from(access.count)).map(|binding| {
                let read_only = access.written >> binding & 1 == 0;
                entry(binding, wgpu::BufferBindingType::Storage { read_only }, SMALLEST_BUFFER)
            });
            let params = entry(PARAMS_BINDING, wgpu::BufferBindingType::Uniform, PARAMS_BYTES);
            let entries: Vec<_> = storage.chain([params]).collect();
            let group =
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
            Layout { number, group, pipeline }
        })
    }

    /// These operands, bound for a kernel's pipeline. `faults` is bound where the kernel asks for it.
    pub fn bind(
        &mut self,
        device: &wgpu::Device,
        pipeline: &Pipeline,
        operands: &[&Buffer],
        faults: &wgpu::Buffer,
        counters: &AtomicCounters,
    ) -> Arc<Bound> {
        let mut given = operands.iter();
        let bindings = pipeline.kernel().0.bindings.iter();
        let buffers: SmallVec<[(u64, &wgpu::Buffer); 8]> = bindings
            .map(|binding| {
                if !binding.is_operand() {
                    return (0, faults);
                }
                let operand = given.next().expect("a buffer for every operand");
                let Memory::Gpu { id, wgpu, .. } = &operand.memory else {
                    unreachable!("`apply` refuses operands of different devices")
                };
                (*id, wgpu)
            })
            .collect();
        self.bound(device, pipeline, &buffers, counters)
    }

    /// These buffers, each with its number, bound for this pipeline.
    pub fn bound(
        &mut self,
        device: &wgpu::Device,
        pipeline: &Pipeline,
        buffers: &[(u64, &wgpu::Buffer)],
        counters: &AtomicCounters,
    ) -> Arc<Bound> {
        let layout = &self.layouts[&pipeline.access()];
        let key = (layout.number, buffers.iter().map(|(id, _)| *id).collect());
        if let Some(found) = self.bound.get(&key) {
            AtomicCounters::add(&counters.bind_group_hits, 1);
            return found.clone();
        }
        AtomicCounters::add(&counters.bind_group_misses, 1);
        let group = self.group(device, &layout.group, buffers.iter().map(|(_, buffer)| *buffer));
        let buffers = buffers.iter().map(|(id, buffer)| (*id, (*buffer).clone())).collect();
        let bound = Arc::new(Bound { group, buffers });
        if self.bound.len() >= MAX_BIND_GROUPS {
            self.bound.clear();
        }
        self.bound.insert(key, bound.clone());
        bound
    }

    /// A bind group of buffers without content.
    pub fn empty_group(&self, device: &wgpu::Device, pipeline: &Pipeline) -> wgpu::BindGroup {
        let access = pipeline.access();
        let create = |_| {
            let usage = wgpu::BufferUsages::STORAGE;
            let size = SMALLEST_BUFFER;
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        let buffers: SmallVec<[wgpu::Buffer; 8]> = (0..access.count).map(create).collect();
        self.group(device, &self.layouts[&access].group, buffers.iter())
    }

    /// These buffers and the params.
    fn group<'a>(
        &'a self,
        device: &wgpu::Device,
        layout: &wgpu::BindGroupLayout,
        buffers: impl Iterator<Item = &'a wgpu::Buffer>,
    ) -> wgpu::BindGroup {
        let params = wgpu::BindGroupEntry {
            binding: PARAMS_BINDING,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.arena,
                offset: 0,
                size: wgpu::BufferSize::new(PARAMS_BYTES),
            }),
        };
        let storage = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let entries: SmallVec<[wgpu::BindGroupEntry<'_>; 9]> = storage.chain([params]).collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// Drops the bind groups of buffers that are gone; they would keep the memory alive.
    pub fn forget(&mut self, ids: &[u64]) {
        let gone: rustc_hash::FxHashSet<u64> = ids.iter().copied().collect();
        self.bound.retain(|(_, buffers), _| !buffers.iter().any(|id| gone.contains(id)));
    }
}
