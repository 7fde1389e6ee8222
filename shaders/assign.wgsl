// Writes into a strided tensor y: its copy of x, or its sum with x.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(WG)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let at = operand_offsets(i);
    y[at.y] = x[at.x];
}

@compute @workgroup_size(WG)
fn add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let at = operand_offsets(i);
    y[at.y] = y[at.y] + x[at.x];
}
