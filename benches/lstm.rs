//! A layer of an LSTM, forward and back: 28 steps of 28 numbers, 128 units, batches of 32 and 64.
//!
//!     cargo bench --bench lstm
//!
//! Runs on the default device (`LUMIGRAD_DEVICE` chooses another). The throughput is in floating-point operations, of which
//! the matrix products are counted: two a weight, step and sequence forward, and twice as many on the way back.

mod common;

use common::device_time;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::{nn, prelude::*};

const STEPS: usize = 28;
const FEATURES: usize = 28;
const HIDDEN: usize = 128;

fn layer(c: &mut Criterion, name: &str, gates: usize, forward: &dyn Fn(&Tensor) -> Tensor, parameters: &[Parameter]) {
    let device = Device::current();
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    for batch in [32, 64] {
        let operations = 2 * gates * HIDDEN * (FEATURES + HIDDEN) * STEPS * batch;
        let x = Tensor::rand(&[batch, STEPS, FEATURES]);
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(format!("forward, batch {batch}"), |b| {
            b.iter_custom(|rounds| device_time(&device, rounds, || drop(no_grad(|| forward(&x)))));
        });
        group.throughput(Throughput::Elements(3 * operations as u64));
        group.bench_function(format!("forward and backward, batch {batch}"), |b| {
            b.iter_custom(|rounds| {
                device_time(&device, rounds, || {
                    parameters.iter().for_each(Parameter::zero_grad);
                    forward(&x).sum().backward().expect("the device works");
                })
            });
        });
    }
    group.finish();
}

fn layers(c: &mut Criterion) {
    let lstm = nn::LSTM::new(FEATURES, HIDDEN).batch_first(true);
    layer(c, "lstm", 4, &|x| lstm.call(x).0, &lstm.parameters());
    let gru = nn::GRU::new(FEATURES, HIDDEN).batch_first(true);
    layer(c, "gru", 3, &|x| gru.call(x).0, &gru.parameters());
    let rnn = nn::RNN::new(FEATURES, HIDDEN).batch_first(true);
    layer(c, "rnn", 1, &|x| rnn.call(x).0, &rnn.parameters());
}

/// What a step could cost at best: the matrix product alone, by the kernels of `matmul`.
fn product(c: &mut Criterion) {
    let device = Device::current();
    let mut group = c.benchmark_group("product of a step");
    group.sample_size(10);
    for batch in [32, 64] {
        let (h, w) = (Tensor::rand(&[batch, HIDDEN]), Tensor::rand(&[4 * HIDDEN, HIDDEN]));
        group.throughput(Throughput::Elements((2 * STEPS * batch * 4 * HIDDEN * HIDDEN) as u64));
        group.bench_function(format!("{STEPS} of them, batch {batch}"), |b| {
            b.iter_custom(|rounds| device_time(&device, rounds * STEPS as u64, || drop(h.linear(&w, None))));
        });
    }
    group.finish();
}

criterion_group!(benches, layers, product);
criterion_main!(benches);
