// What `common/matmul` has, for operands of half the width: two numbers in a word, sums in f32.
#import common/matmul_half_store

@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

// Neighbouring columns that a thread makes.
const PAIR: u32 = 2u;

fn read_a(at: u32) -> f32 {
    return number(a[at >> 1u], at);
}

fn read_b(at: u32) -> f32 {
    return number(b[at >> 1u], at);
}
