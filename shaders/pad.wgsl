// More elements at the ends of dims, or fewer where a pad is negative: a thread an element of the result.
#import common/index

// 0: a constant, 1: the dim mirrored at its last elements, 2: its last elements, 3: the dim again
const REFLECT: u32 = 1u;
const REPLICATE: u32 = 2u;
const CIRCULAR: u32 = 3u;

struct Params {
    n: u32,
    rank: u32,
    mode: u32,
    // bits of the constant
    value: u32,
    offset: u32,
    result_offset: u32,
    spare: vec2<u32>,
    // for each dim: its sizes in the result and in the input, the input's step, and how many elements come before
    result_shape: array<vec4<u32>, 2>,
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    before: array<vec4<i32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

// The element of the input that comes at place `c` of a dim, counted from the input's first; -1: none.
fn place(c: i32, size: i32) -> i32 {
    if c >= 0 && c < size {
        return c;
    }
    switch params.mode {
        case REFLECT: { return select(2 * (size - 1) - c, -c, c < 0); }
        case REPLICATE: { return select(size - 1, 0, c < 0); }
        case CIRCULAR: { return select(c - size, c + size, c < 0); }
        default: { return -1; }
    }
}

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    var rest = i;
    var at = params.offset;
    var inside = true;
    for (var d = params.rank; d > 0u; d -= 1u) {
        let v = (d - 1u) >> 2u;
        let k = (d - 1u) & 3u;
        let size = params.result_shape[v][k];
        let next = divide(rest, size);
        let c = place(i32(rest - next * size) - params.before[v][k], i32(params.shape[v][k]));
        inside = inside && c >= 0;
        at += u32(max(c, 0)) * params.strides[v][k];
        rest = next;
    }
    if inside {
        y[params.result_offset + i] = x[at];
    } else {
        y[params.result_offset + i] = bitcast<elem>(params.value);
    }
}
