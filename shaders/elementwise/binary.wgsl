// z = forward(x, y), element by element over the broadcast shape. The operation's own file defines `forward`; `elem` and
// `result` are aliases of the prelude.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> y: array<elem>;
@group(0) @binding(2) var<storage, read_write> z: array<result>;

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
    z[result_offset(i)] = forward(x[at.x], y[at.y]);
}
