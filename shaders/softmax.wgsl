// Softmax and its logarithm (LOG 1, from the prelude) over rows of any strides; the result is contiguous.
#import common/index
#import common/math
#import common/reduce
#import common/group

// Bindings of the forward kernels.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// Bindings of the backward kernels: the upstream gradient and the result, both contiguous.
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> result: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

// Where a row of a contiguous tensor starts; its elements are `inner` apart.
fn row_start(row: u32) -> u32 {
    return row / params.inner * params.r * params.inner + row % params.inner;
}

// The largest of every `step`-th element; a NaN may be passed over, the sum meets it.
fn largest_of(base: u32, first: u32, step: u32) -> f32 {
    var largest = -3.4028235e38;
    for (var j = first; j < params.r; j += step) {
        largest = max(largest, x[base + row_offset(j)]);
    }
    return largest;
}

fn sum_of(base: u32, first: u32, step: u32, largest: f32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < params.r; j += step) {
        sum += lg_exp(x[base + row_offset(j)] - largest);
    }
    return sum;
}

// Writes every `step`-th element. The largest element adds 1 to the sum: one that is less, or not finite, comes from a row
// with a NaN, with an infinity or with nothing but negative infinities, and there the result is NaN.
fn write(row: u32, base: u32, first: u32, step: u32, largest: f32, sum: f32) {
    let start = params.result_offset + row_start(row);
    let defined = is_finite(largest) && is_finite(sum) && sum >= 1.0;
    var by = sum;
    if LOG == 1u {
        by = lg_log(sum);
    }
    for (var j = first; j < params.r; j += step) {
        let distance = lg_keep(x[base + row_offset(j)] - largest);
        var v = distance - by;
        if LOG == 0u {
            v = lg_exp(distance) / by;
        }
        if !defined {
            v = nan_f32();
        }
        y[start + j * params.inner] = v;
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
    let largest = largest_of(base, 0u, 1u);
    write(row, base, 0u, 1u, largest, sum_of(base, 0u, 1u, largest));
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
    let largest = group_max(local, largest_of(base, local, WG));
    let sum = group_sum(local, sum_of(base, local, WG, largest));
    write(row, base, local, WG, largest, sum);
}

// What an element contributes to the sum that its row's gradients share.
fn shared_sum(start: u32, first: u32, step: u32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < params.r; j += step) {
        let at = start + j * params.inner;
        if LOG == 1u {
            sum += g[params.offset + at];
        } else {
            sum += g[params.offset + at] * result[at];
        }
    }
    return sum;
}

fn write_gradient(start: u32, first: u32, step: u32, sum: f32) {
    for (var j = first; j < params.r; j += step) {
        let at = start + j * params.inner;
        var d = 0.0;
        if LOG == 1u {
            d = g[params.offset + at] - lg_exp_times(result[at], sum);
        } else {
            d = result[at] * (g[params.offset + at] - sum);
        }
        dx[params.result_offset + at] = d;
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
    write_gradient(start, 0u, 1u, shared_sum(start, 0u, 1u));
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
    let sum = group_sum(local, shared_sum(start, local, WG));
    write_gradient(start, local, WG, sum);
}
