// What `by_thread` of `norm_moments.wgsl` and of `norm_backward.wgsl` do for elements that share moments and weight, where
// runs and parts are whole vectors of four. Numbers are what `common/words` or `common/half_words` says.
#import common/index
#import common/math
#import common/norm

// Bindings of the moments.
@group(0) @binding(0) var<storage, read> x: array<word4>;
@group(0) @binding(1) var<storage, read_write> moments: array<f32>;

// Bindings of the sums, which are without the weight.
@group(0) @binding(0) var<storage, read> g: array<word4>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> spread: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> input: array<word4>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

// A part of the elements of a k.
struct Part {
    k: u32,
    first: u32,
    end: u32,
    // where its results lie: these, and as many places behind
    at: u32,
    behind: u32,
}

fn part_of(id: u32) -> Part {
    let split = id / params.count;
    let first = split * params.part;
    return Part(id - split * params.count, first, first + elements_of_part(split), id, params.splits * params.count);
}

@compute @workgroup_size(WG)
fn moments_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    if id >= params.count * params.splits {
        return;
    }
    let p = part_of(id);
    let n = f32(p.end - p.first);
    var center = 0.0;
    if params.centered == 1u {
        var sum = vec4<f32>(0.0);
        var w = walk_from(p.k, p.first, 4u);
        for (var j = p.first; j < p.end; j += 4u) {
            sum += four(x[(params.x_offset + w.place) >> 2u]);
            w = next(w);
        }
        center = total(sum) / n;
    }
    var distances = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    var w = walk_from(p.k, p.first, 4u);
    for (var j = p.first; j < p.end; j += 4u) {
        let d = four(x[(params.x_offset + w.place) >> 2u]) - center;
        distances += d;
        squares += d * d;
        w = next(w);
    }
    let corrected = corrected_by(center, vec2<f32>(total(distances), total(squares)), n);
    moments[p.at] = corrected.x;
    moments[p.behind + p.at] = corrected.y;
}

@compute @workgroup_size(WG)
fn sums_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    if id >= params.count * params.splits {
        return;
    }
    let p = part_of(id);
    let center = mean[params.mean_offset + p.k];
    let scale = reciprocal_deviation(spread[params.spread_offset + p.k]);
    var gradients = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    var w = walk_from(p.k, p.first, 4u);
    for (var j = p.first; j < p.end; j += 4u) {
        let v = four(g[(params.g_offset + w.place) >> 2u]);
        gradients += v;
        products += v * ((four(input[(params.x_offset + w.place) >> 2u]) - center) * scale);
        w = next(w);
    }
    sums[p.at] = total(gradients);
    sums[p.behind + p.at] = total(products);
}
