//! What an operation costs on the host, matrix products, and steps of the MNIST MLP.
//!
//!     cargo bench --bench engine
//!
//! Runs on the default device (`LUMIGRAD_DEVICE` chooses another).

mod common;

use std::time::{Duration, Instant};

use common::device_time;
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::{nn, optim, prelude::*};

/// Dependent additions of one element: the time to record, encode and submit them, without the time that they run.
fn host_cost(c: &mut Criterion) {
    // Fewer than any adapter's limit of a submission, so that no submission waits for the one before.
    const ADDS: u64 = 100;
    let device = Device::current();
    let one = Tensor::ones(&[1]);
    let mut group = c.benchmark_group("host");
    group.throughput(Throughput::Elements(ADDS));
    group.bench_function("100 dependent adds", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let mut x = one.clone();
                let start = Instant::now();
                for _ in 0..ADDS {
                    x = x.add(&one);
                }
                device.flush();
                total += start.elapsed();
                device.synchronize().expect("the device works");
            }
            total
        });
    });
    group.bench_function("100 dependent adds, replayed", |b| {
        let mut capture = device.capture();
        let mut adds = || capture.run(&[], |_| Ok((0..ADDS).fold(one.clone(), |x, _| x.add(&one))));
        (0..3).for_each(|_| drop(adds().expect("the device works")));
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                device.synchronize().expect("the device works");
                let start = Instant::now();
                adds().expect("the device works");
                device.flush();
                total += start.elapsed();
            }
            total
        });
    });
    group.bench_function("100 dependent adds, recorded for gradients", |b| {
        let leaf = Tensor::ones(&[1]).requires_grad();
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let start = Instant::now();
                let mut x = leaf.add(&one);
                for _ in 1..ADDS {
                    x = x.add(&one);
                }
                device.flush();
                total += start.elapsed();
                device.synchronize().expect("the device works");
            }
            total
        });
    });
    group.finish();
}

/// Square products one after the other; the throughput is in floating-point operations.
fn matmul(c: &mut Criterion) {
    let device = Device::current();
    let mut group = c.benchmark_group("matmul");
    group.sample_size(10);
    let mut square = |name: String, n: usize| {
        let (a, b) = (Tensor::rand(&[n, n]), Tensor::rand(&[n, n]));
        group.throughput(Throughput::Elements(2 * (n * n * n) as u64));
        group.bench_function(name, |bench| {
            bench.iter_custom(|rounds| device_time(&device, rounds, || drop(a.matmul(&b))));
        });
    };
    for n in [256, 512, 1024] {
        square(n.to_string(), n);
    }
    // Each of the kernels that can serve, by its name.
    let subgroups = if device.has_subgroups(8) { &["subgroups", "vectors"][..] } else { &[] };
    for kernel in ["tiled", "registers"].iter().chain(subgroups) {
        device.force_choice("matmul", Some(kernel));
        square(format!("512 by {kernel}"), 512);
    }
    device.force_choice("matmul", None);
    group.finish();
}

/// Training steps of 784-512-256-10, batch 64, Adam: upload, forward, backward and update; nothing is read.
fn mlp(c: &mut Criterion) {
    let device = Device::current();
    let model = nn::Sequential::new()
        .add(nn::Linear::new(784, 512))
        .add(nn::ReLU)
        .add(nn::Linear::new(512, 256))
        .add(nn::ReLU)
        .add(nn::Linear::new(256, 10));
    let mut optimizer = optim::Adam::new(model.parameters(), 1e-3);
    let pixels: Vec<f32> = (0..64 * 784).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
    let labels: Vec<i32> = (0..64).map(|i| i % 10).collect();
    let mut step = |inputs: &[Tensor]| -> Result<Tensor> {
        let loss = model.call(&inputs[0]).cross_entropy(&inputs[1]);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(loss)
    };
    let batch = || [Tensor::from_slice(&pixels, &[64, 784]), Tensor::from_slice(&labels, &[64])];
    let mut group = c.benchmark_group("mlp");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1));
    group.bench_function("step", |b| measure(b, &device, || step(&batch()).map(drop)));
    let mut capture = device.capture();
    group.bench_function("step, replayed", |b| {
        measure(b, &device, || {
            let [x, y] = batch();
            capture.run(&[&x, &y], &mut step).map(drop)
        });
    });
    group.finish();
}

/// The time of calls of `step` in a row, after some that warm up.
fn measure(bencher: &mut Bencher<'_>, device: &Device, mut step: impl FnMut() -> Result<()>) {
    (0..5).try_for_each(|_| step()).expect("the device works");
    bencher.iter_custom(|rounds| device_time(device, rounds, || step().expect("the device works")));
}

criterion_group!(benches, host_cost, matmul, mlp);
criterion_main!(benches);
