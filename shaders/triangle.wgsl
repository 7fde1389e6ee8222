// A triangle of every matrix of x; zeros in the other one, whatever stood there. scalars: rows, columns, the diagonal, and
// whether it is the upper triangle.
#import common/index
#import common/elementwise

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
    let column = i % params.scalars.y;
    let row = i / params.scalars.y % params.scalars.x;
    let above = i32(column) - i32(row);
    let diagonal = bitcast<i32>(params.scalars.z);
    let inside = select(above <= diagonal, above >= diagonal, params.scalars.w != 0u);
    var value = elem(0);
    if inside {
        value = x[operand_offset(i, 0u)];
    }
    y[result_offset(i)] = value;
}
