// `assign.wgsl`, four elements a thread, which `quads.wgsl` or `rows.wgsl` finds.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let firsts = firsts_of(i);
    y[firsts.y >> 2u] = spread(x[firsts.x >> 2u], firsts.x, 0u);
}

@compute @workgroup_size(WG)
fn add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let firsts = firsts_of(i);
    let at = firsts.y >> 2u;
    y[at] = y[at] + spread(x[firsts.x >> 2u], firsts.x, 0u);
}
