//! Normalisations: batch norm and layer norm while training, forward and backward, and softmax.
//!
//!     cargo bench --bench norm
//!
//! The throughput is in bytes that have to be moved: every tensor once for every kernel that must have seen all of the one
//! before. Runs on the default device (`LUMIGRAD_DEVICE` chooses another).

use std::time::Instant;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use lumigrad::autograd::Backward;
use lumigrad::{nn, prelude::*};

/// Runs `step` without reading anything, and waits once at the end.
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, passes: usize, numel: usize, step: &dyn Fn()) {
    let device = Device::current();
    for _ in 0..3 {
        step();
    }
    group.sample_size(10).throughput(Throughput::Bytes((4 * passes * numel) as u64));
    group.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            device.synchronize().expect("the device works");
            let start = Instant::now();
            for _ in 0..rounds {
                step();
            }
            device.synchronize().expect("the device works");
            start.elapsed()
        });
    });
}

/// Forward and backward through a layer, with gradients of the input and of the weights.
fn train(layer: &impl Forward<Tensor, Output = Tensor>, x: &Tensor, g: &Tensor) {
    let x = x.detach().requires_grad();
    Backward::new().gradient(g).run(&layer.call(&x)).expect("the device works");
}

fn batch_norm(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_norm, forward and backward");
    for shape in [[32, 32, 28, 28], [8, 64, 56, 56]] {
        let layer = nn::BatchNorm2d::new(shape[1]);
        let (x, g) = (Tensor::randn(&shape), Tensor::randn(&shape));
        // Statistics of x; x to y; sums of x and g; x and g to dx.
        measure(&mut group, &format!("{shape:?}"), 8, x.numel(), &|| {
            layer.zero_grad();
            train(&layer, &x, &g);
        });
    }
    group.finish();
}

fn layer_norm(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer_norm, forward and backward");
    let layer = nn::LayerNorm::new(768);
    let (x, g) = (Tensor::randn(&[512, 768]), Tensor::randn(&[512, 768]));
    // x to y; x and g to dx; sums of x and g.
    measure(&mut group, "[512, 768]", 7, x.numel(), &|| {
        layer.zero_grad();
        train(&layer, &x, &g);
    });
    group.finish();
}

fn softmax(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax");
    let x = Tensor::randn(&[256, 1000]);
    measure(&mut group, "[256, 1000]", 2, x.numel(), &|| {
        x.softmax(1);
    });
    group.finish();
}

/// What a plain elementwise operation reaches.
fn copy(c: &mut Criterion) {
    let mut group = c.benchmark_group("relu");
    let x = Tensor::randn(&[32, 32, 28, 28]);
    measure(&mut group, "[32, 32, 28, 28]", 2, x.numel(), &|| {
        x.relu();
    });
    group.finish();
}

criterion_group!(benches, batch_norm, layer_norm, softmax, copy);
criterion_main!(benches);
