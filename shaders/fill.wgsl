// y = scalars.x, element by element of a strided tensor.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read_write> y: array<elem>;

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
    y[operand_offset(i, 0u)] = bitcast<elem>(params.scalars.x);
}
