// `unary.wgsl`, four elements a thread, which `quads.wgsl` or `rows.wgsl` finds.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<result>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let first = firsts_of(i).x;
    let v = spread(x[first >> 2u], first, 0u);
    let a = bitcast<vec4<elem>>(params.scalars);
    y[result_quad(i)] = vec4<result>(forward(v.x, a), forward(v.y, a), forward(v.z, a), forward(v.w, a));
}
