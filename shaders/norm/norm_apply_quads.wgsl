// What `norm_apply.wgsl` does by segments, for runs in whole vectors of four. Numbers are what `common/words` or
// `common/half_words` says.
#import common/index
#import common/math
#import common/norm

// Bindings of the forward kernel.
@group(0) @binding(0) var<storage, read> x: array<word4>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> spread: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<word4>;

// Bindings of the backward kernel, behind mean, spread and weight.
@group(0) @binding(0) var<storage, read> g: array<word4>;
@group(0) @binding(4) var<storage, read> input: array<word4>;
@group(0) @binding(5) var<storage, read> sum_g: array<f32>;
@group(0) @binding(6) var<storage, read> sum_gx: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<word4>;

// The reciprocal deviation times the weight of a k.
fn scale_of(r: f32, k: u32) -> f32 {
    if params.has_weight == 1u {
        return r * weight[params.weight_offset + k];
    }
    return r;
}

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let segment = segment_of(linear_group(group, groups));
    let center = mean[params.mean_offset + segment.k];
    let scale = scale_of(reciprocal_deviation(spread[params.spread_offset + segment.k]), segment.k);
    var shift = 0.0;
    if params.has_bias == 1u {
        shift = bias[params.bias_offset + segment.k];
    }
    let end = min(segment.end, elements());
    for (var i = segment.first + 4u * local; i < end; i += 4u * WG) {
        y[(params.y_offset + i) >> 2u] = words_of((four(x[(params.x_offset + i) >> 2u]) - center) * scale + shift);
    }
}

@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let segment = segment_of(linear_group(group, groups));
    let share = 1.0 / f32(elements() / params.m_count);
    let center = mean[params.mean_offset + segment.k];
    let r = reciprocal_deviation(spread[params.spread_offset + segment.k]);
    let scale = scale_of(r, segment.k);
    var common_part = 0.0;
    var slope = 0.0;
    if params.mode != 0u {
        if params.centered == 1u {
            common_part = sum_g[params.y_offset + segment.k] * share;
        }
        slope = r * (sum_gx[params.z_offset + segment.k] * share);
    }
    let end = min(segment.end, elements());
    for (var i = segment.first + 4u * local; i < end; i += 4u * WG) {
        let distance = four(input[(params.x_offset + i) >> 2u]) - center;
        let d = four(g[(params.g_offset + i) >> 2u]) - common_part - distance * slope;
        dx[(params.bias_offset + i) >> 2u] = words_of(scale * d);
    }
}
