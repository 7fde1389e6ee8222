// Rows of `inner` elements that lie one behind the other, normalised by their own moments in one go. See norm_moments.wgsl
// for how the mean is corrected.
#import common/index
#import common/math
#import common/norm
#import common/group

// Bindings of the forward kernels.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> spread: array<f32>;

// Bindings of the backward kernels.
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> mean_of: array<f32>;
@group(0) @binding(2) var<storage, read> spread_of: array<f32>;
@group(0) @binding(3) var<storage, read> weight_of: array<f32>;
@group(0) @binding(4) var<storage, read> input: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

fn sum_of(start: u32, first: u32, step: u32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < params.inner; j += step) {
        sum += x[start + j];
    }
    return sum;
}

// The sums of the deviations from `center` and of their squares.
fn deviations_of(start: u32, first: u32, step: u32, center: f32) -> vec2<f32> {
    var sums = vec2<f32>(0.0);
    for (var j = first; j < params.inner; j += step) {
        let d = x[start + j] - center;
        sums += vec2<f32>(d, d * d);
    }
    return sums;
}

fn write(row: u32, first: u32, step: u32, moments: vec2<f32>) {
    let start = row * params.inner;
    var w = weights_from(row, first, step);
    for (var j = first; j < params.inner; j += step) {
        var v = (x[params.x_offset + start + j] - moments.x) * moments.y;
        if params.has_weight == 1u {
            v *= weight[params.weight_offset + w.a];
        }
        if params.has_bias == 1u {
            v += bias[params.bias_offset + w.a];
        }
        y[params.y_offset + start + j] = v;
        w = next_weight(w);
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
    if row >= params.count {
        return;
    }
    let start = params.x_offset + row * params.inner;
    var center = 0.0;
    if params.centered == 1u {
        center = sum_of(start, 0u, 1u) / f32(params.inner);
    }
    let moments = moments_of(center, deviations_of(start, 0u, 1u, center));
    mean[row] = moments.x;
    spread[row] = moments.y;
    write(row, 0u, 1u, moments);
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
    if row >= params.count {
        return;
    }
    let start = params.x_offset + row * params.inner;
    var center = 0.0;
    if params.centered == 1u {
        center = group_sum(local, sum_of(start, local, WG)) / f32(params.inner);
    }
    let own = deviations_of(start, local, WG, center);
    let moments = moments_of(center, vec2<f32>(group_sum(local, own.x), group_sum(local, own.y)));
    if local == 0u {
        mean[row] = moments.x;
        spread[row] = moments.y;
    }
    write(row, local, WG, moments);
}

// An upstream gradient times its weight.
fn weighted(place: u32, a: u32) -> f32 {
    let v = g[params.g_offset + place];
    if params.has_weight == 1u {
        return v * weight_of[params.weight_offset + a];
    }
    return v;
}

// The sums of weighted gradients, and of those times normalised elements.
fn gradients_of(row: u32, first: u32, step: u32) -> vec2<f32> {
    let start = row * params.inner;
    let center = mean_of[params.mean_offset + row];
    let r = spread_of[params.spread_offset + row];
    var w = weights_from(row, first, step);
    var total = vec2<f32>(0.0);
    for (var j = first; j < params.inner; j += step) {
        let v = weighted(start + j, w.a);
        total += vec2<f32>(v, v * ((input[params.x_offset + start + j] - center) * r));
        w = next_weight(w);
    }
    return total;
}

// r (w g − Σ w g / n − x̂ Σ w g x̂ / n), without the second term where no mean is subtracted.
fn write_gradient(row: u32, first: u32, step: u32, total: vec2<f32>) {
    let start = row * params.inner;
    let center = mean_of[params.mean_offset + row];
    let r = spread_of[params.spread_offset + row];
    let n = f32(params.inner);
    let same = select(0.0, total.x / n, params.centered == 1u);
    let slope = r * (total.y / n);
    var w = weights_from(row, first, step);
    for (var j = first; j < params.inner; j += step) {
        let distance = input[params.x_offset + start + j] - center;
        dx[params.y_offset + start + j] = r * (weighted(start + j, w.a) - same - distance * slope);
        w = next_weight(w);
    }
}

@compute @workgroup_size(WG)
fn backward_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_id(group, groups, local);
    if row >= params.count {
        return;
    }
    write_gradient(row, 0u, 1u, gradients_of(row, 0u, 1u));
}

@compute @workgroup_size(WG)
fn backward_by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups);
    if row >= params.count {
        return;
    }
    let own = gradients_of(row, local, WG);
    let total = vec2<f32>(group_sum(local, own.x), group_sum(local, own.y));
    write_gradient(row, local, WG, total);
}
