// What the kernels of a matrix product share that read single numbers: bindings, and how an element is stored.
#import common/matmul_params

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

// Neighbouring columns that a thread makes.
const PAIR: u32 = 1u;

fn read_a(at: u32) -> f32 {
    return a[at];
}

fn read_b(at: u32) -> f32 {
    return b[at];
}

// Adds the bias and writes an element, unless it lies beyond the edge. `at` is where the matrix starts in c.
fn store(at: u32, row: u32, column: u32, sum: f32) {
    if row < params.m && column < params.n {
        var value = sum;
        if params.has_bias != 0u {
            value += bias[params.offsets.z + column];
        }
        c[at + row * params.n + column] = value;
    }
}

// Two elements of a row, this far apart.
fn store_two(at: u32, row: u32, column: u32, apart: u32, first: f32, second: f32) {
    store(at, row, column, first);
    store(at, row, column + apart, second);
}
