// Norms of many gradients at once, and their clipping in place. A gradient is a range of a buffer that starts at a multiple
// of four; the table lists the ranges, cut in chunks, and a workgroup does one chunk, four elements a thread at a time.
#import common/index
#import common/math
#import common/group

struct Params {
    // ranges, and chunks of all of them
    ranges: u32,
    chunks: u32,
    // p and 1/p of a general norm
    power: f32,
    root: f32,
    // the largest norm, or the largest value
    limit: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

// Offset and length, the number of its first chunk in this buffer, and where that chunk's part of the sum goes.
struct Range {
    offset: u32,
    len: u32,
    chunk: u32,
    part: u32,
}

@group(0) @binding(0) var<storage, read> ranges: array<Range>;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;

// `total` reads the parts.
@group(0) @binding(0) var<storage, read> all_parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> norm: array<f32>;

// The kernels that clip.
@group(0) @binding(1) var<storage, read_write> clipped: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> total_norm: array<f32>;


// `unscale`: the factor that the gradients have, and whether one was no finite number.
@group(0) @binding(2) var<storage, read> gradient_scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> found: array<atomic<u32>>;

const CHUNK: u32 = 2048u;

// Where the chunk starts, in fours; how many elements it has; and where the sum over them goes.
struct Chunk {
    start: u32,
    len: u32,
    part: u32,
}

// Chunk number `id` of this buffer: its range is the last one that starts at or before it.
fn chunk_at(id: u32) -> Chunk {
    var low = 0u;
    var high = params.ranges;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if ranges[middle].chunk <= id {
            low = middle;
        } else {
            high = middle;
        }
    }
    let range = ranges[low];
    let first = (id - range.chunk) * CHUNK;
    return Chunk((range.offset + first) / 4u, min(CHUNK, range.len - first), range.part + id - range.chunk);
}

// Which of four elements belong to the chunk; the others belong to nobody, and stay as they are.
fn inside(chunk: Chunk, four: u32) -> vec4<bool> {
    return vec4(4u * four) + vec4(0u, 1u, 2u, 3u) < vec4(chunk.len);
}

fn load(chunk: Chunk, four: u32) -> vec4<f32> {
    return select(vec4(0.0), gradient[chunk.start + four], inside(chunk, four));
}

// The largest of numbers that are not negative, or NaN: by their bits, where NaN is above infinity.
var<workgroup> bits: array<u32, WG>;

fn group_max_bits(local: u32, v: u32) -> u32 {
    workgroupBarrier();
    bits[local] = v;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            bits[local] = max(bits[local], bits[local + half]);
        }
        workgroupBarrier();
    }
    return bits[0];
}

fn magnitude_bits(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}

// What four elements add to the sum.
fn term(x: vec4<f32>) -> f32 {
    var t = abs(x);
    if NORM == 2u {
        t = x * x;
    } else if NORM == 3u {
        let p = params.power;
        t = vec4(lg_pow(t.x, p), lg_pow(t.y, p), lg_pow(t.z, p), lg_pow(t.w, p));
    }
    return (t.x + t.y) + (t.z + t.w);
}

@compute @workgroup_size(WG)
fn part(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_group(group, groups);
    if id >= params.chunks {
        return;
    }
    let chunk = chunk_at(id);
    if NORM == 0u {
        var largest = 0u;
        for (var four = local; 4u * four < chunk.len; four += WG) {
            let x = load(chunk, four);
            let low = max(magnitude_bits(x.x), magnitude_bits(x.y));
            largest = max(largest, max(low, max(magnitude_bits(x.z), magnitude_bits(x.w))));
        }
        largest = group_max_bits(local, largest);
        if local == 0u {
            parts[chunk.part] = bitcast<f32>(largest);
        }
        return;
    }
    var sum = 0.0;
    for (var four = local; 4u * four < chunk.len; four += WG) {
        sum += term(load(chunk, four));
    }
    sum = group_sum(local, sum);
    if local == 0u {
        parts[chunk.part] = sum;
    }
}

@compute @workgroup_size(WG)
fn total(@builtin(local_invocation_index) local: u32) {
    if NORM == 0u {
        var largest = 0u;
        for (var i = local; i < params.chunks; i += WG) {
            largest = max(largest, magnitude_bits(all_parts[i]));
        }
        largest = group_max_bits(local, largest);
        if local == 0u {
            norm[0] = bitcast<f32>(largest);
        }
        return;
    }
    var sum = 0.0;
    for (var i = local; i < params.chunks; i += WG) {
        sum += all_parts[i];
    }
    sum = group_sum(local, sum);
    if local != 0u {
        return;
    }
    if NORM == 1u {
        norm[0] = sum;
    } else if NORM == 2u {
        norm[0] = lg_sqrt(sum);
    } else {
        norm[0] = lg_pow(sum, params.root);
    }
}

// The factor that brings the norm down to the limit; never above 1. NaN for a norm that is NaN.
fn factor() -> f32 {
    let norm = total_norm[0];
    if is_nan(norm) {
        return nan_f32();
    }
    if is_inf(norm) {
        return 0.0;
    }
    return min(params.limit / (norm + 1e-6), 1.0);
}

@compute @workgroup_size(WG)
fn scale(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_group(group, groups);
    if id >= params.chunks {
        return;
    }
    let chunk = chunk_at(id);
    let by = factor();
    for (var four = local; 4u * four < chunk.len; four += WG) {
        let x = clipped[chunk.start + four];
        clipped[chunk.start + four] = select(x, x * by, inside(chunk, four));
    }
}

@compute @workgroup_size(WG)
fn bound(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_group(group, groups);
    if id >= params.chunks {
        return;
    }
    let chunk = chunk_at(id);
    for (var four = local; 4u * four < chunk.len; four += WG) {
        let x = clipped[chunk.start + four];
        // By bits: comparisons may assume that there is no NaN.
        let numbers = (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) <= vec4(0x7f800000u);
        let bounded = clamp(x, vec4(-params.limit), vec4(params.limit));
        clipped[chunk.start + four] = select(x, bounded, inside(chunk, four) & numbers);
    }
}

@compute @workgroup_size(WG)
fn unscale(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_group(group, groups);
    if id >= params.chunks {
        return;
    }
    let chunk = chunk_at(id);
    let by = 1.0 / gradient_scale[0];
    var is_finite = true;
    for (var four = local; 4u * four < chunk.len; four += WG) {
        let x = clipped[chunk.start + four];
        let own = inside(chunk, four);
        // By bits: comparisons may assume that there is no NaN.
        let magnitudes = select(vec4(0u), bitcast<vec4<u32>>(x) & vec4(0x7fffffffu), own);
        is_finite = is_finite && all(magnitudes < vec4(0x7f800000u));
        clipped[chunk.start + four] = select(x, x * by, own);
    }
    if !is_finite {
        atomicStore(&found[0], 1u);
    }
}
