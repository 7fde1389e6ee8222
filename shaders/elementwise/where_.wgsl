// z = condition ? x : y over the broadcast shape of all three, and the gradients of x and y.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> condition: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> y: array<elem>;
@group(0) @binding(3) var<storage, read_write> z: array<elem>;

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    if condition[operand_offset(i, 0u)] != 0u {
        z[result_offset(i)] = x[operand_offset(i, 1u)];
    } else {
        z[result_offset(i)] = y[operand_offset(i, 2u)];
    }
}

@group(0) @binding(1) var<storage, read> g: array<elem>;
@group(0) @binding(2) var<storage, read_write> d: array<elem>;

@compute @workgroup_size(WG)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    d[result_offset(i)] = select(elem(0), g[operand_offset(i, 1u)], condition[operand_offset(i, 0u)] != 0u);
}

@compute @workgroup_size(WG)
fn backward_other(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    d[result_offset(i)] = select(g[operand_offset(i, 1u)], elem(0), condition[operand_offset(i, 0u)] != 0u);
}
