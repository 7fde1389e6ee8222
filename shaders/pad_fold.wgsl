// The gradient of padding along one dim that copies elements: every element of the dim gets the sum over the places that
// it was copied to, in their order. A thread an element.
#import common/index

// 1: the dim mirrored at its last elements, 2: its last elements, 3: the dim again
const REFLECT: u32 = 1u;
const REPLICATE: u32 = 2u;

struct Params {
    // elements; of the dim, before and after padding; behind one another in the dims after it
    n: u32,
    size: u32,
    padded: u32,
    inner: u32,
    // places of the padded dim before the first element of the input; may be negative
    before: i32,
    mode: u32,
    offset: u32,
    result_offset: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;

// The gradient at a place of the padded dim, if there is one.
fn at(base: u32, place: i32) -> f32 {
    if place < 0 || place >= i32(params.padded) {
        return 0.0;
    }
    return g[base + u32(place) * params.inner];
}

@compute @workgroup_size(WG)
fn fold(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let size = i32(params.size);
    let c = i32(i / params.inner % params.size);
    let base = params.offset + i / (params.inner * params.size) * params.padded * params.inner + i % params.inner;
    let own = c + params.before;
    var sum = 0.0;
    if params.mode == REPLICATE {
        let first = select(own, 0, c == 0);
        let last = select(own, i32(params.padded) - 1, c == size - 1);
        for (var place = first; place <= last; place += 1) {
            sum += at(base, place);
        }
    } else if params.mode == REFLECT {
        if c > 0 {
            sum += at(base, params.before - c);
        }
        sum += at(base, own);
        if c < size - 1 {
            sum += at(base, params.before + 2 * (size - 1) - c);
        }
    } else {
        sum = at(base, own - size) + at(base, own) + at(base, own + size);
    }
    dx[params.result_offset + i] = sum;
}
