// The logarithm of the sum of exponentials of an output's elements, or of a part of them.
#import common/index
#import common/math
#import common/reduce
#import common/group

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// The largest of every `step`-th element; a NaN may be passed over, the sum meets it.
fn largest_of(base: u32, first: u32, end: u32, step: u32) -> f32 {
    var largest = -3.4028235e38;
    for (var j = first; j < end; j += step) {
        largest = max(largest, x[base + element_offset(j)]);
    }
    return largest;
}

fn sum_of(base: u32, first: u32, end: u32, step: u32, shift: f32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < end; j += step) {
        sum += lg_exp(x[base + element_offset(j)] - shift);
    }
    return sum;
}

// An infinity can't be subtracted from itself.
fn shift_of(largest: f32) -> f32 {
    return select(0.0, largest, is_finite(largest));
}

// A thread for every output and part.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n * params.splits {
        return;
    }
    let base = output_base(i / params.splits);
    let first = i % params.splits * params.part;
    let end = min(first + params.part, params.r);
    let shift = shift_of(largest_of(base, first, end, 1u));
    y[params.result_offset + i] = shift + lg_log(sum_of(base, first, end, 1u, shift));
}

// A workgroup for every output and part.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if i >= params.n * params.splits {
        return;
    }
    let base = output_base(i / params.splits);
    let first = i % params.splits * params.part;
    let end = min(first + params.part, params.r);
    let shift = shift_of(group_max(local, largest_of(base, first + local, end, WG)));
    let sum = group_sum(local, sum_of(base, first + local, end, WG, shift));
    if local == 0u {
        y[params.result_offset + i] = shift + lg_log(sum);
    }
}
