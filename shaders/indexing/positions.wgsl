// Indices of several dims as one number: y = before · size + index, where an index below 0 counts from the end of the dim.
// Operand 0 is the index, operand 1 the number so far. scalars: elements of the dim, whether there is a number so far, the
// site of faults.
#import common/index
#import common/elementwise
#import common/fault

@group(0) @binding(0) var<storage, read> index: array<i32>;
@group(0) @binding(1) var<storage, read> before: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;
@group(0) @binding(3) var<storage, read_write> faults: array<atomic<u32>, 4>;

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
    let size = i32(params.scalars.x);
    let k = index[operand_offset(i, 0u)];
    var wrapped = select(k, k + size, k < 0);
    if wrapped < 0 || wrapped >= size {
        report_fault(params.scalars.z, k, params.scalars.x);
        wrapped = 0;
    }
    var first = 0;
    if params.scalars.y != 0u {
        first = before[operand_offset(i, 1u)] * size;
    }
    y[result_offset(i)] = first + wrapped;
}
