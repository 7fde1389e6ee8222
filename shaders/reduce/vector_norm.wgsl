// The p-norm of an output's elements, or of a part of them. `scale` is p; KIND (from the prelude) says how it is computed:
// 0 counts what is not 0; 1 adds magnitudes; 2 adds squares; 3 and 4 take the largest and the smallest magnitude; 5 adds
// powers. Squares and powers are of elements divided by the largest (p < 0: smallest) magnitude, so that none leaves the
// range. Magnitudes are ordered by their bits, where NaN is the largest.
#import common/index
#import common/math
#import common/reduce
#import common/group

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> extremes: array<vec2<u32>, WG>;

fn size_at(at: u32) -> u32 {
    return bitcast<u32>(x[at]) & 0x7fffffffu;
}

// The bits of the largest magnitude, and the complement of those of the smallest.
fn extremes_of(base: u32, first: u32, end: u32, step: u32) -> vec2<u32> {
    var found = vec2<u32>(0u);
    for (var j = first; j < end; j += step) {
        let size = size_at(base + element_offset(j));
        found = max(found, vec2<u32>(size, ~size));
    }
    return found;
}

// What elements are divided by.
fn unit_of(found: vec2<u32>) -> f32 {
    if KIND == 2u {
        // A power of two: nothing is rounded.
        return bitcast<f32>(clamp(found.x >> 23u, 1u, 253u) << 23u);
    }
    return bitcast<f32>(select(found.x, ~found.y, params.scale < 0.0));
}

fn term(size: u32, unit: f32) -> f32 {
    let v = bitcast<f32>(size);
    switch KIND {
        case 0u: { return select(1.0, 0.0, size == 0u); }
        case 1u: { return v; }
        case 2u: {
            let scaled = v * bitcast<f32>(0x7f000000u - bitcast<u32>(unit));
            return scaled * scaled;
        }
        default: { return lg_pow(lg_divide(v, unit), params.scale); }
    }
}

fn sum_of(base: u32, first: u32, end: u32, step: u32, unit: f32) -> f32 {
    var sum = 0.0;
    if KIND == 3u || KIND == 4u {
        return sum;
    }
    for (var j = first; j < end; j += step) {
        sum += term(size_at(base + element_offset(j)), unit);
    }
    return sum;
}

fn finish(found: vec2<u32>, unit: f32, sum: f32) -> f32 {
    let largest = bitcast<f32>(found.x);
    let decisive = bitcast<u32>(select(largest, bitcast<f32>(~found.y), params.scale < 0.0));
    if is_nan(largest) && KIND != 0u {
        return nan_f32();
    }
    switch KIND {
        case 0u, 1u: { return sum; }
        case 3u: { return largest; }
        case 4u: { return bitcast<f32>(~found.y); }
        default: {}
    }
    // No elements but zeros, or infinities.
    if decisive == 0u || decisive == 0x7f800000u {
        return bitcast<f32>(decisive);
    }
    if KIND == 2u {
        return unit * lg_sqrt(sum);
    }
    return unit * lg_pow(sum, 1.0 / params.scale);
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
    let found = extremes_of(base, first, end, 1u);
    let unit = unit_of(found);
    y[params.result_offset + i] = finish(found, unit, sum_of(base, first, end, 1u, unit));
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
    extremes[local] = extremes_of(base, first + local, end, WG);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            extremes[local] = max(extremes[local], extremes[local + half]);
        }
        workgroupBarrier();
    }
    let found = extremes[0];
    let unit = unit_of(found);
    let sum = group_sum(local, sum_of(base, first + local, end, WG, unit));
    if local == 0u {
        y[params.result_offset + i] = finish(found, unit, sum);
    }
}
