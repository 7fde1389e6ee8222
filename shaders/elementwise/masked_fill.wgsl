// z = mask ? a : x, over the broadcast shape, for a number a in the params.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> mask: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> z: array<elem>;

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
    let value = bitcast<elem>(params.scalars.x);
    z[result_offset(i)] = select(x[operand_offset(i, 1u)], value, mask[operand_offset(i, 0u)] != 0u);
}
