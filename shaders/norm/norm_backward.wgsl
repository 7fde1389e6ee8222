// Sums of gradients, and of gradients times normalised elements, in parts, and the parts as one.
//
// SHARED (from the prelude) 0: the elements of a k share moments and weight, and the sums are without the weight. 1: they
// share the moments, and each gradient is multiplied by its weight. 2: they share the weight, and each has its own moments.
// Numbers of g and x are what `common/words` or `common/half_words` says.
#import common/index
#import common/math
#import common/norm
#import common/group

@group(0) @binding(0) var<storage, read> g: array<word>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> spread: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<word>;
@group(0) @binding(5) var<storage, read_write> parts: array<f32>;

// Bindings of `merge`.
@group(0) @binding(0) var<storage, read> made: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

fn deviation_at(m: u32) -> f32 {
    return reciprocal_deviation(spread[params.spread_offset + m]);
}

fn sums_of(k: u32, first: u32, end: u32, step: u32) -> vec2<f32> {
    var w = walk_from(k, first, step);
    var total = vec2<f32>(0.0);
    var center = 0.0;
    var scale = 0.0;
    if SHARED != 2u {
        center = mean[params.mean_offset + k];
        scale = deviation_at(k);
    }
    // Elements of one run share their moments too. Runs of one element lie a sample apart, and so do their moments.
    var m = w.place / params.m_inner;
    let m_step = step * (params.count / params.m_inner);
    var run = 0xffffffffu;
    for (var j = first; j < end; j += step) {
        if SHARED == 2u {
            let start = w.place - w.l;
            if start != run {
                if params.inner != 1u {
                    m = w.place / params.m_inner;
                }
                run = start;
                center = mean[params.mean_offset + m];
                scale = deviation_at(m);
                m += m_step;
            }
        }
        let g_at = params.g_offset + w.place;
        let x_at = params.x_offset + w.place;
        var v = number(g[word_at(g_at)], g_at);
        if SHARED == 1u && params.has_weight == 1u {
            v *= weight[params.weight_offset + weight_at(w.place)];
        }
        total += vec2<f32>(v, v * ((number(x[word_at(x_at)], x_at) - center) * scale));
        w = next(w);
    }
    return total;
}

fn store(k: u32, split: u32, total: vec2<f32>) {
    let at = split * params.count + k;
    parts[at] = total.x;
    parts[params.splits * params.count + at] = total.y;
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
    store(k, split, sums_of(k, first, first + elements_of_part(split), 1u));
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
    let own = sums_of(k, first + local, first + elements_of_part(split), WG);
    let total = vec2<f32>(group_sum(local, own.x), group_sum(local, own.y));
    if local == 0u {
        store(k, split, total);
    }
}

// A thread for every k. Mode 1: the sums of the gradients; 2: those with normalised elements; 3: both.
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
    let behind = params.splits * params.count;
    var total = vec2<f32>(0.0);
    for (var s = 0u; s < params.splits; s += 1u) {
        let at = s * params.count + k;
        total += vec2<f32>(made[at], made[behind + at]);
    }
    if (params.mode & 1u) != 0u {
        sums[params.y_offset + k] = total.x;
    }
    if (params.mode & 2u) != 0u {
        sums[params.z_offset + k] = total.y;
    }
}
