// dx = backward(g, s, a), where s is the input or the output, whichever the operation saves.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> g: array<elem>;
@group(0) @binding(1) var<storage, read> s: array<elem>;
@group(0) @binding(2) var<storage, read_write> dx: array<elem>;

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
    let at = operand_offsets(i);
    dx[result_offset(i)] = backward(g[at.x], s[at.y], bitcast<vec4<elem>>(params.scalars));
}
