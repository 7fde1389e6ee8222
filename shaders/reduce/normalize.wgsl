// Rows divided by their lengths, or by eps (`scale`) where that is larger; and the gradient. The result is contiguous, its
// elements of a row lie `inner` apart.
#import common/index
#import common/math
#import common/reduce
#import common/group

// Bindings of the forward kernels.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
// what was divided by; its negative where that is eps
@group(0) @binding(2) var<storage, read_write> divisor: array<f32>;

// Bindings of the backward kernels: the upstream gradient (from `offset` on) and the result, both contiguous.
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> result: array<f32>;
@group(0) @binding(2) var<storage, read> divided: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

var<workgroup> largest_of_lanes: array<u32, WG>;

// Where a row of a contiguous tensor starts.
fn row_start(row: u32) -> u32 {
    return row / params.inner * params.r * params.inner + row % params.inner;
}

// The bits of the largest magnitude, among which a NaN is the largest.
fn largest_of(base: u32, first: u32, step: u32) -> u32 {
    var largest = 0u;
    for (var j = first; j < params.r; j += step) {
        largest = max(largest, bitcast<u32>(x[base + row_offset(j)]) & 0x7fffffffu);
    }
    return largest;
}

// The exponent of a power of two near the largest magnitude: squares of elements divided by it stay in the range.
fn exponent_of(largest: u32) -> u32 {
    return clamp(largest >> 23u, 1u, 253u);
}

fn squares_of(base: u32, first: u32, step: u32, exponent: u32) -> f32 {
    let factor = bitcast<f32>((254u - exponent) << 23u);
    var sum = 0.0;
    for (var j = first; j < params.r; j += step) {
        let v = x[base + row_offset(j)] * factor;
        sum += v * v;
    }
    return sum;
}

fn write(row: u32, base: u32, first: u32, step: u32, exponent: u32, squares: f32) {
    // Elements and length are divided by the same power of two, with which neither leaves the range.
    var factor = bitcast<f32>((254u - exponent) << 23u);
    var by = lg_sqrt(squares);
    var stored = bitcast<f32>(exponent << 23u) * by;
    // By bits, which for numbers that are not negative have their order, and put a NaN above all: it stays.
    if bitcast<u32>(stored) < bitcast<u32>(params.scale) {
        factor = 1.0;
        by = params.scale;
        stored = -params.scale;
    }
    if first == 0u {
        divisor[row] = stored;
    }
    let start = params.result_offset + row_start(row);
    for (var j = first; j < params.r; j += step) {
        y[start + j * params.inner] = lg_divide(x[base + row_offset(j)] * factor, by);
    }
}

// A thread for every row.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_id(group, groups, local);
    if row >= params.n {
        return;
    }
    let base = output_base(row);
    let exponent = exponent_of(largest_of(base, 0u, 1u));
    write(row, base, 0u, 1u, exponent, squares_of(base, 0u, 1u, exponent));
}

// A workgroup for every row.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if row >= params.n {
        return;
    }
    let base = output_base(row);
    largest_of_lanes[local] = largest_of(base, local, WG);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            largest_of_lanes[local] = max(largest_of_lanes[local], largest_of_lanes[local + half]);
        }
        workgroupBarrier();
    }
    let exponent = exponent_of(largest_of_lanes[0]);
    let squares = group_sum(local, squares_of(base, local, WG, exponent));
    write(row, base, local, WG, exponent, squares);
}

fn product_of(start: u32, first: u32, step: u32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < params.r; j += step) {
        let at = start + j * params.inner;
        sum += g[params.offset + at] * result[at];
    }
    return sum;
}

// (g − y Σ g y) / length; where eps was divided by, it does not depend on the row.
fn write_gradient(row: u32, start: u32, first: u32, step: u32, product: f32) {
    let length = divided[row];
    var along = product;
    if length < 0.0 {
        along = 0.0;
    }
    for (var j = first; j < params.r; j += step) {
        let at = start + j * params.inner;
        let d = g[params.offset + at] - result[at] * along;
        dx[params.result_offset + at] = lg_divide(d, abs(length));
    }
}

@compute @workgroup_size(WG)
fn backward_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_id(group, groups, local);
    if row >= params.n {
        return;
    }
    let start = row_start(row);
    write_gradient(row, start, 0u, 1u, product_of(start, 0u, 1u));
}

@compute @workgroup_size(WG)
fn backward_by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups);
    if row >= params.n {
        return;
    }
    let start = row_start(row);
    let product = group_sum(local, product_of(start, local, WG));
    write_gradient(row, start, local, WG, product);
}
