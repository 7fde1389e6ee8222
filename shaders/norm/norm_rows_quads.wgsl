// What `by_thread` of `norm_rows.wgsl` does, for rows in whole vectors of four. From the prelude: SHIFT 2 and `weights` a
// vector where every element has a weight of its own, SHIFT 0 and `weights` a number where those of a vector share theirs.
#import common/index
#import common/math
#import common/norm

// Bindings of the forward kernel.
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<weights>;
@group(0) @binding(2) var<storage, read> bias: array<weights>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> spread: array<f32>;

// Bindings of the backward kernel.
@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mean_of: array<f32>;
@group(0) @binding(2) var<storage, read> spread_of: array<f32>;
@group(0) @binding(3) var<storage, read> weight_of: array<weights>;
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

fn next_weights(w: Weights) -> Weights {
    if SHIFT == 0u {
        return next_weight(w);
    }
    var v = w;
    v.a += 4u;
    return v;
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
    let start = (params.x_offset + row * params.inner) >> 2u;
    let quads = params.inner >> 2u;
    var center = 0.0;
    if params.centered == 1u {
        var sums = vec4<f32>(0.0);
        for (var q = 0u; q < quads; q += 1u) {
            sums += x[start + q];
        }
        center = total(sums) / f32(params.inner);
    }
    var distances = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    for (var q = 0u; q < quads; q += 1u) {
        let d = x[start + q] - center;
        distances += d;
        squares += d * d;
    }
    let moments = moments_of(center, vec2<f32>(total(distances), total(squares)));
    mean[row] = moments.x;
    spread[row] = moments.y;
    let target_start = (params.y_offset + row * params.inner) >> 2u;
    var w = weights_from(row, 0u, 4u);
    for (var q = 0u; q < quads; q += 1u) {
        var v = (x[start + q] - moments.x) * moments.y;
        if params.has_weight == 1u {
            let at = params.weight_offset + w.a;
            v *= vec4<f32>(weight[at >> SHIFT]);
        }
        if params.has_bias == 1u {
            let at = params.bias_offset + w.a;
            v += vec4<f32>(bias[at >> SHIFT]);
        }
        y[target_start + q] = v;
        w = next_weights(w);
    }
}

// Upstream gradients times their weights.
fn weighted(v: vec4<f32>, a: u32) -> vec4<f32> {
    if params.has_weight == 1u {
        let at = params.weight_offset + a;
        return v * vec4<f32>(weight_of[at >> SHIFT]);
    }
    return v;
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
    let start = (params.x_offset + row * params.inner) >> 2u;
    let quads = params.inner >> 2u;
    let center = mean_of[params.mean_offset + row];
    let r = spread_of[params.spread_offset + row];
    let upstream = (params.g_offset + row * params.inner) >> 2u;
    let whole_row = weights_from(row, 0u, 4u);
    var sums = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    var w = whole_row;
    for (var q = 0u; q < quads; q += 1u) {
        let v = weighted(g[upstream + q], w.a);
        sums += v;
        products += v * ((input[start + q] - center) * r);
        w = next_weights(w);
    }
    let n = f32(params.inner);
    let same = select(0.0, total(sums) / n, params.centered == 1u);
    let slope = r * (total(products) / n);
    let target_start = (params.y_offset + row * params.inner) >> 2u;
    w = whole_row;
    for (var q = 0u; q < quads; q += 1u) {
        let v = weighted(g[upstream + q], w.a);
        dx[target_start + q] = r * (v - same - (input[start + q] - center) * slope);
        w = next_weights(w);
    }
}
