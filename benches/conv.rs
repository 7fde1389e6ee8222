//! Convolutions forward and back, as time and floating-point operations a second.
//!
//!     cargo bench --bench conv
//!
//! Runs on the default device (`LUMIGRAD_DEVICE` chooses another).

mod common;

use common::device_time;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::autograd::{Backward, grad};
use lumigrad::{Conv2dOptions, prelude::*};

/// A name, the sizes `[N, C, H, W]` of the input and `[O, C/groups, kh, kw]` of the weight, and the other arguments.
type Layer = (&'static str, [usize; 4], [usize; 4], Conv2dOptions);

fn layers() -> Vec<Layer> {
    let plain = Conv2dOptions::new();
    vec![
        ("1→16 3×3 at 28×28, batch 32", [32, 1, 28, 28], [16, 1, 3, 3], plain),
        ("16→32 3×3 at 28×28, batch 32", [32, 16, 28, 28], [32, 16, 3, 3], plain.padding(1)),
        ("64→64 3×3 at 56×56, batch 8", [8, 64, 56, 56], [64, 64, 3, 3], plain.padding(1)),
        ("64→128 3×3 by 2 at 28×28, batch 8", [8, 64, 28, 28], [128, 64, 3, 3], plain.padding(1).stride(2)),
        ("64→64 1×1 at 28×28, batch 8", [8, 64, 28, 28], [64, 64, 1, 1], plain),
        ("64 depthwise 3×3 at 28×28, batch 8", [8, 64, 28, 28], [64, 1, 3, 3], plain.padding(1).groups(64)),
    ]
}

fn conv(c: &mut Criterion) {
    let device = Device::current();
    for (name, x, w, options) in layers() {
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        let (x, w) = (Tensor::randn(&x), Tensor::randn(&w));
        let y = x.conv2d(&w, None, &options);
        let products = y.numel() * w.numel() / w.shape()[0];
        group.throughput(Throughput::Elements(2 * products as u64));
        let mut measure = |what: &str, work: &dyn Fn()| {
            group.bench_function(what, |bench| {
                bench.iter_custom(|rounds| device_time(&device, rounds, work));
            });
        };
        measure("forward", &|| drop(x.conv2d(&w, None, &options)));
        // The graph is kept, so that a round is the gradient alone.
        let upstream = Tensor::randn(y.shape());
        let back = |y: &Tensor, leaf: &Tensor| {
            let options = Backward::new().gradient(&upstream).retain_graph();
            grad(y, &[leaf], options).expect("the device works");
        };
        let leaf = x.detach().requires_grad();
        let y = leaf.conv2d(&w, None, &options);
        measure("gradient of the input", &|| back(&y, &leaf));
        let leaf = w.detach().requires_grad();
        let y = x.conv2d(&leaf, None, &options);
        measure("gradient of the weight", &|| back(&y, &leaf));
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let [x, w, upstream] = [&x, &w, &upstream].map(|t| t.to_dtype(dtype));
            let [x, w] = [x, w].map(|t| t.detach().requires_grad());
            measure(&format!("forward and back in {dtype}"), &|| {
                let y = x.conv2d(&w, None, &options);
                grad(&y, &[&x, &w], Backward::new().gradient(&upstream)).expect("the device works");
            });
        }
        group.finish();
    }
}

criterion_group!(benches, conv);
criterion_main!(benches);
