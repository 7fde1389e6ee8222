//! Steps of Adam and clipping by norm over few large and over many small parameters. Nothing is read.
//!
//!     cargo bench --bench optim
//!
//! Runs on the default device (`LUMIGRAD_DEVICE` chooses another). The name of each line has the dispatches that a step
//! takes.

mod common;

use common::device_time;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::{nn::utils::clip_grad_norm_, optim::Adam, prelude::*};

fn steps(c: &mut Criterion) {
    let device = Device::current();
    let mut group = c.benchmark_group("optim");
    group.sample_size(10);
    for (name, parameters, elements) in [("10 of 1 Mi", 10, 1 << 20), ("1,000 of 500", 1000, 500)] {
        let parameters: Vec<Parameter> = (0..parameters).map(|_| Parameter::new(Tensor::rand(&[elements]))).collect();
        for p in &parameters {
            p.get().set_grad(Some(&Tensor::rand(&[elements]))).expect("the device works");
        }
        let mut optimizer = Adam::new(parameters.clone(), 1e-3);
        // The first step moves everything into the optimiser's memory.
        optimizer.step().expect("the device works");
        group.throughput(Throughput::Elements((parameters.len() * elements) as u64));
        let mut bench = |what: &str, work: &mut dyn FnMut() -> Result<()>| {
            let before = device.counters().dispatches;
            work().expect("the device works");
            let dispatches = device.counters().dispatches - before;
            group.bench_function(format!("{what}, {name} ({dispatches} dispatches)"), |b| {
                b.iter_custom(|rounds| device_time(&device, rounds, || work().expect("the device works")));
            });
        };
        bench("Adam", &mut || optimizer.step());
        bench("clip_grad_norm_", &mut || clip_grad_norm_(parameters.clone(), 1.0).map(|_| ()));
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
