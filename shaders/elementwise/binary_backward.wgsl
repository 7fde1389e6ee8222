// The gradient of one operand of a binary operation, over the broadcast shape: `side` is `left` or `right`, which the
// operation's own file defines.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> g: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> y: array<elem>;
@group(0) @binding(3) var<storage, read_write> d: array<elem>;

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
    d[result_offset(i)] = side(g[at.x], x[at.y], y[at.z]);
}
