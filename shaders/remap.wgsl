// y[c] = x[s(c)], where each coordinate goes its own way: moved on by a shift, wrapped round at the size of x, and counted
// from the end if its dim is turned. So tensors are flipped, rolled and repeated. A thread an element of y.
#import common/index

struct Params {
    n: u32,
    rank: u32,
    // first elements of x and y
    offset: u32,
    result_offset: u32,
    // sizes of y and x, steps of x, shifts, and whether a dim is turned
    shape: array<vec4<u32>, 2>,
    sizes: array<vec4<u32>, 2>,
    steps: array<vec4<u32>, 2>,
    shifts: array<vec4<u32>, 2>,
    turned: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

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
    var place = params.offset;
    for (var d = params.rank; d > 0u; d -= 1u) {
        let v = (d - 1u) >> 2u;
        let k = (d - 1u) & 3u;
        let next = rest / params.shape[v][k];
        let size = params.sizes[v][k];
        var at = (rest - next * params.shape[v][k] + params.shifts[v][k]) % size;
        at = select(at, size - 1u - at, params.turned[v][k] != 0u);
        place += at * params.steps[v][k];
        rest = next;
    }
    y[params.result_offset + i] = x[place];
}
