//! Scaled dot-product attention, forward and back: 4 sequences, 8 heads of 64 numbers, 128 and 512 queries and keys.
//!
//!     cargo bench --bench attention
//!
//! Runs on the default device (`LUMIGRAD_DEVICE` chooses another). The throughput is in floating-point operations of the
//! matrix products: two forward, and twice as many on the way back, besides the one that makes the scores again. Beside it
//! stand the two products of the forward run alone: what attention could cost at best.

mod common;

use common::device_time;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumigrad::{AttentionOptions, prelude::*};

const HEADS: usize = 4 * 8;
const SIZE: usize = 64;

fn attention(c: &mut Criterion) {
    let device = Device::current();
    let mut group = c.benchmark_group("attention");
    group.sample_size(10);
    for len in [128, 512] {
        let make = || Tensor::rand(&[HEADS, len, SIZE]);
        let (q, k, v) = (make(), make(), make());
        let leaves = [q.clone().requires_grad(), k.clone().requires_grad(), v.clone().requires_grad()];
        let options = AttentionOptions { is_causal: true, ..AttentionOptions::default() };
        let operations = 2 * 2 * (HEADS * len * len * SIZE) as u64;
        let mut time = |name: &str, operations: u64, run: &dyn Fn()| {
            group.throughput(Throughput::Elements(operations));
            group.bench_function(format!("{name}, {len}"), |b| {
                b.iter_custom(|rounds| device_time(&device, rounds, run));
            });
        };
        time("products alone", operations, &|| {
            q.bmm(&k.transpose(1, 2)).bmm(&v);
        });
        time("forward", operations, &|| {
            q.scaled_dot_product_attention_with(&k, &v, &options);
        });
        time("forward and backward", 3 * operations + operations / 2, &|| {
            leaves.iter().for_each(|leaf| leaf.set_grad(None).expect("a leaf"));
            let y = leaves[0].scaled_dot_product_attention_with(&leaves[1], &leaves[2], &options);
            y.sum().backward().expect("the device works");
        });
    }
    group.finish();
}

criterion_group!(benches, attention);
criterion_main!(benches);
