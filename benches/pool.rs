//! Maxima over windows, forward and back, as a share of what memory gives.
//!
//!     cargo bench --bench pool
//!
//! Bytes are what has to move: forward the input is read, values and positions are written; back gradients and positions
//! are read, the input's gradient is written. Runs on the default device (`LUMIGRAD_DEVICE` chooses another).

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::autograd::{Backward, grad};
use lumigrad::{MaxPoolOptions, prelude::*};

/// Runs of one measurement, so that recording hides behind running.
const RUNS: u64 = 5;

fn max_pool(c: &mut Criterion) {
    let device = Device::current();
    let mut group = c.benchmark_group("max_pool2d");
    group.sample_size(10);
    let shapes: [(&str, [usize; 4], usize, MaxPoolOptions<2>); 2] = [
        ("2x2 of [32, 32, 24, 24]", [32, 32, 24, 24], 2, MaxPoolOptions::new()),
        ("3x3 stride 2 of [8, 64, 112, 112]", [8, 64, 112, 112], 3, MaxPoolOptions::new().stride(2).padding(1)),
    ];
    for (name, shape, kernel, options) in shapes {
        let x = Tensor::randn(&shape).requires_grad();
        let y = x.max_pool2d_with(kernel, &options);
        let g = Tensor::ones(y.shape());
        let bytes = 4 * (x.numel() + 2 * y.numel()) as u64;
        group.throughput(Throughput::BytesDecimal(RUNS * bytes));
        let time = |rounds: u64, run: &dyn Fn()| -> Duration {
            device.synchronize().expect("the device works");
            let start = Instant::now();
            for _ in 0..rounds * RUNS {
                run();
            }
            device.synchronize().expect("the device works");
            start.elapsed()
        };
        group.bench_function(format!("{name}, forward"), |b| {
            b.iter_custom(|rounds| time(rounds, &|| drop(x.max_pool2d_with(kernel, &options))));
        });
        group.bench_function(format!("{name}, backward"), |b| {
            let back = || Backward::new().gradient(&g).retain_graph();
            b.iter_custom(|rounds| time(rounds, &|| drop(grad(&y, &[&x], back()).expect("a gradient"))));
        });
        // What the same bytes cost when nothing is computed.
        let source = Tensor::randn(&[bytes as usize / 8]);
        group.bench_function(format!("{name}, a copy of as many bytes"), |b| {
            b.iter_custom(|rounds| time(rounds, &|| drop(source.add_scalar(1.0))));
        });
    }
    group.finish();
}

criterion_group!(benches, max_pool);
criterion_main!(benches);
