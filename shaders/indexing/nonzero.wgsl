// The coordinates of the elements that are not zero, in their order. Every thread looks at `chunk` neighbours: `count` counts
// them for each workgroup, `place` counts again and writes behind what comes before.
#import common/index

struct Params {
    n: u32,
    rank: u32,
    // elements of a thread
    chunk: u32,
    // the first element
    offset: u32,
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<elem>;

// Bindings of `count`.
@group(0) @binding(1) var<storage, read_write> counts: array<i32>;

// Bindings of `place`.
@group(0) @binding(1) var<storage, read> counted: array<i32>;
@group(0) @binding(2) var<storage, read_write> found: array<i32>;

var<workgroup> sums: array<u32, WG>;

fn is_set(i: u32) -> bool {
    var rest = i;
    var at = params.offset;
    for (var d = params.rank; d > 0u; d -= 1u) {
        let v = (d - 1u) >> 2u;
        let k = (d - 1u) & 3u;
        let next = rest / params.shape[v][k];
        at += (rest - next * params.shape[v][k]) * params.strides[v][k];
        rest = next;
    }
    // By the bits: a NaN is not zero, a denormal is not, -0 is.
    let bits = bitcast<u32>(x[at]);
    return select(bits, bits & 0x7fffffffu, IS_FLOAT == 1u) != 0u;
}

// How many of its elements a thread finds.
fn own_count(first: u32) -> u32 {
    var sum = 0u;
    for (var i = first; i < min(first + params.chunk, params.n); i += 1u) {
        sum += select(0u, 1u, is_set(i));
    }
    return sum;
}

@compute @workgroup_size(WG)
fn count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    sums[local] = own_count((group.x * WG + local) * params.chunk);
    workgroupBarrier();
    if local == 0u {
        var sum = 0u;
        for (var thread = 0u; thread < WG; thread += 1u) {
            sum += sums[thread];
        }
        counts[group.x] = i32(sum);
    }
}

@compute @workgroup_size(WG)
fn place(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = (group.x * WG + local) * params.chunk;
    sums[local] = own_count(first);
    workgroupBarrier();
    if local == 0u {
        // The place of each thread's first find.
        var next = 0u;
        for (var tile = 0u; tile < group.x; tile += 1u) {
            next += u32(counted[tile]);
        }
        for (var thread = 0u; thread < WG; thread += 1u) {
            let own = sums[thread];
            sums[thread] = next;
            next += own;
        }
    }
    workgroupBarrier();
    var line = sums[local];
    for (var i = first; i < min(first + params.chunk, params.n); i += 1u) {
        if is_set(i) {
            var rest = i;
            for (var d = params.rank; d > 0u; d -= 1u) {
                let size = params.shape[(d - 1u) >> 2u][(d - 1u) & 3u];
                let next = divide(rest, size);
                found[line * params.rank + d - 1u] = i32(rest - next * size);
                rest = next;
            }
            line += 1u;
        }
    }
}
