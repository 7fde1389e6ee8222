// The loss of each element, their sum, and the gradients. The loss's own file defines `loss`, `input_gradient` and
// `target_gradient`.
#import common/index
#import common/group
#import common/loss

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> pos_weight: array<f32>;

// Bindings of `each` and `total`.
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;

// Bindings of the gradients.
@group(0) @binding(4) var<storage, read> g: array<f32>;
@group(0) @binding(5) var<storage, read_write> d: array<f32>;

fn element(i: u32) -> Element {
    var e = Element(x[operand_offset(i, 0u)], t[operand_offset(i, 1u)], 1.0);
    if (params.given & 2u) != 0u {
        e.p = pos_weight[operand_offset(i, 3u)];
    }
    return e;
}

fn weighted(value: f32, i: u32) -> f32 {
    if (params.given & 1u) != 0u {
        return value * weight[operand_offset(i, 2u)];
    }
    return value;
}

@compute @workgroup_size(WG)
fn each(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    losses[result_offset(i)] = weighted(loss(element(i), params.numbers), i);
}

// A workgroup for every part.
@compute @workgroup_size(WG)
fn total(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let part = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if part * params.part >= params.n {
        return;
    }
    let first = part * params.part;
    let end = min(first + params.part, params.n);
    var sum = 0.0;
    for (var i = first + local; i < end; i += WG) {
        sum += weighted(loss(element(i), params.numbers), i);
    }
    sum = group_sum(local, sum);
    if local == 0u {
        losses[result_offset(part)] = sum * params.numbers.w;
    }
}

// The upstream gradient of an element's loss.
fn upstream(i: u32) -> f32 {
    return weighted(g[operand_offset(i, 4u)] * params.numbers.w, i);
}

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
    d[result_offset(i)] = input_gradient(upstream(i), element(i), params.numbers);
}

@compute @workgroup_size(WG)
fn backward_target(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    d[result_offset(i)] = target_gradient(upstream(i), element(i), params.numbers);
}
