//! What an operation costs on the host, and a matrix product by each kernel. Whole programs are in `programs`.
//!
//!     cargo bench --bench engine
//!
//! Runs on the default device (`LUMIGRAD_DEVICE` chooses another).

mod common;

use std::time::{Duration, Instant};

use common::device_time;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::optim::Adam;
use lumigrad::{nn, prelude::*};

/// Dependent additions of one element: the time to record, encode and submit them, without the time that they run.
fn host_cost(c: &mut Criterion) {
    // Fewer than any adapter's limit of a submission, so that no submission waits for the one before.
    const ADDS: u64 = 100;
    let device = Device::current();
    let one = Tensor::ones(&[1]);
    let mut group = c.benchmark_group("host");
    group.throughput(Throughput::Elements(ADDS));
    let adds = |start: &Tensor, rounds| {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let begun = Instant::now();
            let sum = (0..ADDS).fold(start.clone(), |x, _| x.add(&one));
            device.flush();
            total += begun.elapsed();
            drop(sum);
            device.synchronize().expect("the device works");
        }
        total
    };
    group.bench_function("100 dependent adds", |b| b.iter_custom(|rounds| adds(&one, rounds)));
    device.set_fusion(false);
    group.bench_function("100 dependent adds, a dispatch each", |b| b.iter_custom(|rounds| adds(&one, rounds)));
    device.set_fusion(true);
    for (name, fusion) in [("replayed", true), ("replayed, a dispatch each", false)] {
        device.set_fusion(fusion);
        group.bench_function(format!("100 dependent adds, {name}"), |b| {
            let mut capture = device.capture();
            let mut replayed = || capture.run(&[], |_| Ok((0..ADDS).fold(one.clone(), |x, _| x.add(&one))));
            (0..3).for_each(|_| drop(replayed().expect("the device works")));
            b.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    device.synchronize().expect("the device works");
                    let start = Instant::now();
                    replayed().expect("the device works");
                    device.flush();
                    total += start.elapsed();
                }
                total
            });
        });
    }
    device.set_fusion(true);
    let leaf = Tensor::ones(&[1]).requires_grad();
    group.bench_function("100 dependent adds, recorded for gradients", |b| {
        b.iter_custom(|rounds| adds(&leaf, rounds));
    });
    group.finish();
}

/// The dispatches of a training step of a deep, small network, replayed one by one: host time, without the time that they run.
fn replayed_step(c: &mut Criterion) {
    let device = Device::current();
    let mut model = nn::Sequential::new();
    for _ in 0..20 {
        model = model.add(nn::Linear::new(16, 16)).add(nn::ReLU);
    }
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let x = Tensor::rand(&[4, 16]);
    let mut capture = device.capture();
    device.set_fusion(false);
    let mut replayed = || {
        let begun = Instant::now();
        let step = |inputs: &[Tensor]| {
            let loss = model.call(&inputs[0]).square().mean();
            optimizer.zero_grad();
            loss.backward()?;
            optimizer.step()?;
            Ok(loss.detach())
        };
        capture.run(&[&x], step).expect("the step can be recorded");
        device.flush();
        let took = begun.elapsed();
        device.synchronize().expect("the device works");
        took
    };
    for _ in 0..3 {
        replayed();
    }
    let before = device.counters().dispatches;
    replayed();
    let dispatches = device.counters().dispatches - before;
    let mut group = c.benchmark_group("host");
    group.throughput(Throughput::Elements(dispatches));
    group.bench_function(format!("a training step of {dispatches} dispatches, replayed"), |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| replayed()).sum());
    });
    group.finish();
    device.set_fusion(true);
}

/// As many dispatches as [`replayed_step`] has, with three buffers and params each, given to wgpu with nothing round them.
fn bare_wgpu(c: &mut Criterion) {
    const DISPATCHES: usize = 128;
    let adapter = pollster::block_on(wgpu::Instance::default().request_adapter(&Default::default()));
    let Ok(adapter) = adapter else { return println!("no GPU: no dispatches by wgpu alone") };
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
    let pipelines: [_; 8] = std::array::from_fn(|number| {
        let text = format!(
            "@group(0) @binding(0) var<storage, read> a: array<f32>;
             @group(0) @binding(1) var<storage, read> b: array<f32>;
             @group(0) @binding(2) var<storage, read_write> y: array<f32>;
             @group(0) @binding(3) var<uniform> params: vec4<f32>;
             @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                 y[id.x] = a[id.x] + b[id.x] + params.x + {number}.0;
             }}"
        );
        let source = wgpu::ShaderSource::Wgsl(text.into());
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source }),
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        })
    });
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
    let new = wgpu::BufferDescriptor { label: None, size: 256, usage, mapped_at_creation: false };
    let buffers: Vec<_> = (0..DISPATCHES + 2).map(|_| device.create_buffer(&new)).collect();
    let params = device.create_buffer(&new);
    let dispatches = buffers.windows(3).zip(pipelines.iter().cycle()).map(|(operands, pipeline)| {
        let bound = (0..).zip(operands.iter().chain([&params]));
        let entries: Vec<_> = bound
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &pipeline.get_bind_group_layout(0);
        let group = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
        (pipeline, device.create_bind_group(&group))
    });
    let dispatches: Vec<_> = dispatches.collect();
    let submitted = || {
        let begun = Instant::now();
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (pipeline, group) in &dispatches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        drop(pass);
        queue.submit([encoder.finish()]);
        let took = begun.elapsed();
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device works");
        took
    };
    let mut group = c.benchmark_group("host");
    group.throughput(Throughput::Elements(DISPATCHES as u64));
    group.bench_function(format!("{DISPATCHES} dispatches, by wgpu alone"), |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| submitted()).sum());
    });
    group.finish();
}

/// Square products by each of the kernels that can serve; the throughput is in floating-point operations.
fn matmul(c: &mut Criterion) {
    const N: usize = 512;
    let device = Device::current();
    let mut group = c.benchmark_group("matmul 512");
    group.sample_size(10);
    group.throughput(Throughput::Elements(2 * (N * N * N) as u64));
    let (a, b) = (Tensor::rand(&[N, N]), Tensor::rand(&[N, N]));
    let halves = [a.half(), b.half()];
    let subgroups = if device.has_subgroups(8) { &["subgroups", "vectors"][..] } else { &[] };
    let matrices = if device.has_matrices(8) || device.has_matrices(16) { &["cooperative"][..] } else { &[] };
    for kernel in ["tiled", "large", "registers"].iter().chain(subgroups).chain(matrices) {
        device.force_choice("matmul", Some(kernel));
        // Halves take the tiled kernel for blocks; with subgroups and vectors they are converted to f32 and back. The
        // cooperative kernel is only for f16, and with f32 this is the tiled one again.
        for (name, [a, b]) in [((*kernel).into(), [&a, &b]), (format!("{kernel}, halves"), [&halves[0], &halves[1]])] {
            group.bench_function(name, |bench| {
                bench.iter_custom(|rounds| device_time(&device, rounds, || drop(a.matmul(b))));
            });
        }
    }
    device.force_choice("matmul", None);
    group.finish();
}

criterion_group!(benches, host_cost, replayed_step, bare_wgpu, matmul);
criterion_main!(benches);
