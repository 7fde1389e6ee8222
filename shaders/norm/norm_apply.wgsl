// Normalised elements. SEGMENTS 1 (from the prelude): moments and weights are those of the walk, and a workgroup takes a
// piece of a run of `inner` elements. SEGMENTS 0: every element looks for its own.
// Numbers of x, y, g and dx are what `common/words` or `common/half_words` says; a thread makes a word at a time.
#import common/index
#import common/math
#import common/norm

// Bindings of the forward kernel.
@group(0) @binding(0) var<storage, read> x: array<word>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> spread: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<word>;

// Bindings of the backward kernel, behind mean, spread and weight.
@group(0) @binding(0) var<storage, read> g: array<word>;
@group(0) @binding(4) var<storage, read> input: array<word>;
@group(0) @binding(5) var<storage, read> sum_g: array<f32>;
@group(0) @binding(6) var<storage, read> sum_gx: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<word>;

fn deviation_at(m: u32) -> f32 {
    return reciprocal_deviation(spread[params.spread_offset + m]);
}

fn weight_of(a: u32) -> f32 {
    if params.has_weight == 1u {
        return weight[params.weight_offset + a];
    }
    return 1.0;
}

fn bias_of(a: u32) -> f32 {
    if params.has_bias == 1u {
        return bias[params.bias_offset + a];
    }
    return 0.0;
}

fn read_x(i: u32) -> f32 {
    let at = params.x_offset + i;
    return number(x[word_at(at)], at);
}

fn read_g(i: u32) -> f32 {
    let at = params.g_offset + i;
    return number(g[word_at(at)], at);
}

fn read_input(i: u32) -> f32 {
    let at = params.x_offset + i;
    return number(input[word_at(at)], at);
}

// An element with moments and weight of its own, or 0 behind the last one.
fn normalised(i: u32) -> f32 {
    if i >= elements() {
        return 0.0;
    }
    let m = moments_at(i);
    let a = weight_at(i);
    let distance = read_x(i) - mean[params.mean_offset + m];
    return distance * deviation_at(m) * weight_of(a) + bias_of(a);
}

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = linear_group(group, groups);
    if SEGMENTS == 1u {
        let segment = segment_of(number);
        let center = mean[params.mean_offset + segment.k];
        let scale = deviation_at(segment.k) * weight_of(segment.k);
        let shift = bias_of(segment.k);
        let end = min(segment.end, elements());
        for (var i = segment.first + PER_WORD * local; i < end; i += PER_WORD * WG) {
            let last = i + PER_WORD - 1u;
            y[word_at(params.y_offset + i)] =
                word_of((read_x(i) - center) * scale + shift, (read_x(last) - center) * scale + shift);
        }
    } else {
        let end = min((number + 1u) * CHUNK, elements());
        for (var i = number * CHUNK + PER_WORD * local; i < end; i += PER_WORD * WG) {
            y[word_at(params.y_offset + i)] = word_of(normalised(i), normalised(i + 1u));
        }
    }
}

// The gradient of an element with moments and weight of its own, or 0 behind the last one.
fn gradient_at(i: u32, share: f32) -> f32 {
    if i >= elements() {
        return 0.0;
    }
    let m = moments_at(i);
    let w = weight_of(weight_at(i));
    let r = deviation_at(m);
    let distance = read_input(i) - mean[params.mean_offset + m];
    var d = read_g(i);
    if params.mode != 1u {
        d *= w;
    }
    if params.mode != 0u {
        if params.centered == 1u {
            d -= sum_g[params.y_offset + m] * share;
        }
        d -= distance * (r * (sum_gx[params.z_offset + m] * share));
    }
    if params.mode == 1u {
        d *= w;
    }
    return r * d;
}

// The gradient of the input: r (w g − Σg / n − x̂ Σg·x̂ / n), with r the reciprocal deviation, x̂ the normalised element and n
// the elements that share the moments; without its second term where no mean is subtracted. Mode 0: the moments are
// constants, so the sums do not count. Mode 1: the sums are of g alone, and everything is multiplied by the weight. Mode 2:
// the sums have the weight in them.
@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = linear_group(group, groups);
    let share = 1.0 / f32(elements() / params.m_count);
    if SEGMENTS == 1u {
        let segment = segment_of(number);
        let center = mean[params.mean_offset + segment.k];
        let r = deviation_at(segment.k);
        let scale = r * weight_of(segment.k);
        var common_part = 0.0;
        var slope = 0.0;
        if params.mode != 0u {
            if params.centered == 1u {
                common_part = sum_g[params.y_offset + segment.k] * share;
            }
            slope = r * (sum_gx[params.z_offset + segment.k] * share);
        }
        let end = min(segment.end, elements());
        for (var i = segment.first + PER_WORD * local; i < end; i += PER_WORD * WG) {
            let last = i + PER_WORD - 1u;
            dx[word_at(params.bias_offset + i)] = word_of(
                scale * (read_g(i) - common_part - (read_input(i) - center) * slope),
                scale * (read_g(last) - common_part - (read_input(last) - center) * slope),
            );
        }
    } else {
        let end = min((number + 1u) * CHUNK, elements());
        for (var i = number * CHUNK + PER_WORD * local; i < end; i += PER_WORD * WG) {
            dx[word_at(params.bias_offset + i)] = word_of(gradient_at(i, share), gradient_at(i + 1u, share));
        }
    }
}
