// What the kernels of a matrix product share: params, bindings, where a batch starts, and how an element is stored.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    batches: u32,
    rank: u32,
    has_bias: u32,
    // first elements of a, b, bias and c
    offsets: vec4<u32>,
    // steps from row to row and from column to column
    a_strides: vec2<u32>,
    b_strides: vec2<u32>,
    // the batch: sizes, and steps in a and b
    shape: array<vec4<u32>, 2>,
    a_batch: array<vec4<u32>, 2>,
    b_batch: array<vec4<u32>, 2>,
}
@group(1) @binding(0) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

// Where matrix number `batch` starts in a and in b.
fn batch_offsets(batch: u32) -> vec2<u32> {
    var rest = batch;
    var offset = vec2<u32>(0u, 0u);
    for (var d = params.rank; d > 0u; d -= 1u) {
        let size = params.shape[(d - 1u) >> 2u][(d - 1u) & 3u];
        let next = rest / size;
        let i = rest - next * size;
        offset.x += i * params.a_batch[(d - 1u) >> 2u][(d - 1u) & 3u];
        offset.y += i * params.b_batch[(d - 1u) >> 2u][(d - 1u) & 3u];
        rest = next;
    }
    return offset;
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
