// What the kernels of a matrix product share that read single numbers: bindings, and how an element is stored.
#import common/matmul_params

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

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
