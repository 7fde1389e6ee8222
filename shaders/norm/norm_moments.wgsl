// Means and sums of squared deviations, in parts, and the parts as one.
//
// A part is walked twice, for the mean and for the deviations from it; what the rounded mean leaves over corrects both
// (Chan, Golub, LeVeque 1983). Parts are short enough that the second walk finds them in a cache. Numbers of x are what
// `common/words` or `common/half_words` says.
#import common/index
#import common/math
#import common/norm
#import common/group

// Bindings of the kernels that make parts: means first, behind them all sums of squared deviations.
@group(0) @binding(0) var<storage, read> x: array<word>;
@group(0) @binding(1) var<storage, read_write> parts: array<f32>;

// Bindings of the kernels that merge them.
@group(0) @binding(0) var<storage, read> made: array<f32>;
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;
@group(0) @binding(2) var<storage, read_write> spread: array<f32>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_var: array<f32>;
@group(0) @binding(5) var<storage, read_write> batches: array<i32>;
@group(0) @binding(6) var<storage, read> faults: array<u32, 4>;

fn read_x(place: u32) -> f32 {
    let at = params.x_offset + place;
    return number(x[word_at(at)], at);
}

fn sum_of(k: u32, first: u32, end: u32, step: u32) -> f32 {
    var w = walk_from(k, first, step);
    var sum = 0.0;
    for (var j = first; j < end; j += step) {
        sum += read_x(w.place);
        w = next(w);
    }
    return sum;
}

// The sums of the deviations from `center` and of their squares.
fn deviations_of(k: u32, first: u32, end: u32, step: u32, center: f32) -> vec2<f32> {
    var w = walk_from(k, first, step);
    var sums = vec2<f32>(0.0);
    for (var j = first; j < end; j += step) {
        let d = read_x(w.place) - center;
        sums += vec2<f32>(d, d * d);
        w = next(w);
    }
    return sums;
}

fn store(k: u32, split: u32, center: f32, sums: vec2<f32>) {
    let at = split * params.count + k;
    let corrected = corrected_by(center, sums, f32(elements_of_part(split)));
    parts[at] = corrected.x;
    parts[params.splits * params.count + at] = corrected.y;
}

// A thread for every part.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    if id >= params.count * params.splits {
        return;
    }
    let split = id / params.count;
    let k = id - split * params.count;
    let first = split * params.part;
    let end = first + elements_of_part(split);
    var center = 0.0;
    if params.centered == 1u {
        center = sum_of(k, first, end, 1u) / f32(end - first);
    }
    store(k, split, center, deviations_of(k, first, end, 1u, center));
}

// A workgroup for every part.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if id >= params.count * params.splits {
        return;
    }
    let split = id / params.count;
    let k = id - split * params.count;
    let first = split * params.part;
    let end = first + elements_of_part(split);
    var center = 0.0;
    if params.centered == 1u {
        center = group_sum(local, sum_of(k, first + local, end, WG)) / f32(end - first);
    }
    let own = deviations_of(k, first + local, end, WG, center);
    let sums = vec2<f32>(group_sum(local, own.x), group_sum(local, own.y));
    if local == 0u {
        store(k, split, center, sums);
    }
}

// The moments of a k: mean, and sum of squared deviations from it.
fn merged(k: u32) -> vec2<f32> {
    // Differences to the first part's mean keep the digits that a large common part would push out.
    let origin = select(0.0, made[k], is_finite(made[k]));
    var shift = 0.0;
    for (var s = 0u; s < params.splits; s += 1u) {
        shift += f32(elements_of_part(s)) * (made[s * params.count + k] - origin);
    }
    let middle = origin + shift / f32(elements_of_k());
    var squares = 0.0;
    for (var s = 0u; s < params.splits; s += 1u) {
        let at = s * params.count + k;
        let d = made[at] - middle;
        squares += made[params.splits * params.count + at] + f32(elements_of_part(s)) * d * d;
    }
    return vec2<f32>(middle, squares);
}

// Mode 2: variances, with `momentum` for the number that the squares are divided by, which may be 0; mode 3: their roots.
fn store_moments(k: u32, moments: vec2<f32>) {
    mean[k] = moments.x;
    if params.mode >= 2u {
        var variance = moments.y / params.momentum;
        if params.momentum == 0.0 {
            // A comparison is false for a NaN.
            variance = nan_f32();
            if moments.y > 0.0 {
                variance = inf_f32();
            }
        }
        spread[k] = variance;
        if params.mode == 3u {
            spread[k] = lg_sqrt(variance);
        }
        return;
    }
    spread[k] = 1.0 / lg_sqrt(moments.y / f32(elements_of_k()) + params.eps);
}

// A thread for every k.
@compute @workgroup_size(WG)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let k = linear_id(group, groups, local);
    if k >= params.count {
        return;
    }
    store_moments(k, merged(k));
}

// The same, and the running statistics in place. Mode 1: the share of the batch is one over the number of batches, which
// all threads read before one of them counts this batch, so they are one workgroup. Mode 0: the share is `momentum`.
@compute @workgroup_size(WG)
fn merge_running(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    var share = params.momentum;
    if params.mode == 1u {
        share = 1.0 / f32(batches[params.z_offset] + 1);
    }
    storageBarrier();
    workgroupBarrier();
    let live = faults[0] == 0u;
    if id == 0u && live {
        batches[params.z_offset] += 1;
    }
    let n = elements_of_k();
    if n == 0u {
        return;
    }
    for (var k = id; k < params.count; k += groups.x * groups.y * WG) {
        let moments = merged(k);
        store_moments(k, moments);
        if live {
            let m = params.mean_offset + k;
            let v = params.spread_offset + k;
            let unbiased = moments.y / (f32(n) - 1.0);
            running_mean[m] = (1.0 - share) * running_mean[m] + share * moments.x;
            running_var[v] = (1.0 - share) * running_var[v] + share * unbiased;
        }
    }
}
