// A copy in blocks of four vectors, a thread each; TURNED of the prelude says whether neighbours of x become lines of the
// result. Everything is bits.
#import common/index

struct Params {
    // blocks of four by four, and how many dims they have
    n: u32,
    rank: u32,
    // vectors from one line of a block to the next, in x and in the result
    x_step: u32,
    y_step: u32,
    // first vectors of x and of the result
    firsts: vec4<u32>,
    // of blocks, the steps in vectors; uniform arrays have 16-byte elements, so eight dims are two vectors
    shape: array<vec4<u32>, 2>,
    x_strides: array<vec4<u32>, 2>,
    y_strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    var rest = i;
    var from_x = params.firsts.x;
    var to = params.firsts.y;
    for (var d = max(params.rank, 1u) - 1u; d > 0u; d -= 1u) {
        let size = params.shape[d >> 2u][d & 3u];
        let next = divide(rest, size);
        let place = rest - next * size;
        from_x += place * params.x_strides[d >> 2u][d & 3u];
        to += place * params.y_strides[d >> 2u][d & 3u];
        rest = next;
    }
    from_x += rest * params.x_strides[0].x;
    to += rest * params.y_strides[0].x;
    let a = x[from_x];
    let b = x[from_x + params.x_step];
    let c = x[from_x + 2u * params.x_step];
    let d = x[from_x + 3u * params.x_step];
    if TURNED == 0u {
        y[to] = a;
        y[to + params.y_step] = b;
        y[to + 2u * params.y_step] = c;
        y[to + 3u * params.y_step] = d;
    } else {
        y[to] = vec4<u32>(a.x, b.x, c.x, d.x);
        y[to + params.y_step] = vec4<u32>(a.y, b.y, c.y, d.y);
        y[to + 2u * params.y_step] = vec4<u32>(a.z, b.z, c.z, d.z);
        y[to + 3u * params.y_step] = vec4<u32>(a.w, b.w, c.w, d.w);
    }
}
