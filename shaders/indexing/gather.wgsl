// y[i] = x[.., index[i], ..]: element by element of the result. Operand 0 is x with a step of 0 along the dim that is
// indexed, operand 1 the index. scalars: elements of that dim, its step, the site of faults.
#import common/index
#import common/elementwise
#import common/fault

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;
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
    let at = result_offset(i);
    let k = index[operand_offset(i, 1u)];
    if k < 0 || u32(k) >= params.scalars.x {
        report_fault(params.scalars.z, k, params.scalars.x);
        // NaN or 0, by the type; not a constant expression, which could not be NaN.
        var bits = BAD;
        y[at] = bitcast<elem>(bits);
        return;
    }
    y[at] = x[operand_offset(i, 0u) + u32(k) * params.scalars.y];
}
