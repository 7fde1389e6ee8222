// Advances the clocks of parameters by one update: a row of eight numbers for each.
//
// 0: updates so far; 1: whether this one takes place; 2 to 5: what its kernel needs that changes from step to step;
// 6 and 7: what the next step needs of this one.
#import common/index
#import common/math

struct Params {
    // the rows
    first: u32,
    n: u32,
    lr: f32,
    lr_decay: f32,
    // 1 − β₁ and 1 − β₂
    rest1: f32,
    rest2: f32,
    // what decoupled weight decay leaves of a parameter
    keep: f32,
    // NAdam's, times ln 0.96
    momentum_decay: f32,
    // ASGD's
    lambd: f32,
    alpha: f32,
    t0: f32,
    // whether `found` tells of gradients that are no numbers
    has_found: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read_write> clock: array<f32>;
@group(0) @binding(1) var<storage, read> found: array<u32>;
@group(0) @binding(2) var<storage, read> faults: array<u32, 4>;

const ROW: u32 = 8u;

// The start of this thread's row, or the largest number where it has none or there was a bad index or a gradient that is no number. Counts the update.
fn tick(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    let id = linear_id(group, groups, local);
    if id >= params.n {
        return 0xffffffffu;
    }
    let row = (params.first + id) * ROW;
    if faults[0] != 0u || (params.has_found != 0u && found[0] != 0u) {
        clock[row + 1u] = 0.0;
        return 0xffffffffu;
    }
    clock[row] += 1.0;
    clock[row + 1u] = 1.0;
    return row;
}

// 1 − βᵗ for 1 − β, with no digits lost where β is near 1.
fn correction(rest: f32, t: f32) -> f32 {
    if rest >= 1.0 {
        return 1.0;
    }
    return -lg_expm1(t * lg_log1p(-rest));
}

@compute @workgroup_size(WG)
fn count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = tick(group, groups, local);
    if row == 0xffffffffu {
        return;
    }
    clock[row + 2u] = -params.lr / (1.0 + (clock[row] - 1.0) * params.lr_decay);
}

@compute @workgroup_size(WG)
fn adam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = tick(group, groups, local);
    if row == 0xffffffffu {
        return;
    }
    let t = clock[row];
    clock[row + 2u] = -params.lr / correction(params.rest1, t);
    clock[row + 3u] = lg_sqrt(correction(params.rest2, t));
    clock[row + 4u] = params.keep;
}

// μₜ of NAdam.
fn momentum(t: f32) -> f32 {
    return (1.0 - params.rest1) * (1.0 - 0.5 * lg_exp(t * params.momentum_decay));
}

@compute @workgroup_size(WG)
fn nadam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = tick(group, groups, local);
    if row == 0xffffffffu {
        return;
    }
    let t = clock[row];
    let now = momentum(t);
    let next = momentum(t + 1.0);
    let product = clock[row + 6u] * now;
    clock[row + 2u] = -params.lr * (1.0 - now) / (1.0 - product);
    clock[row + 3u] = lg_sqrt(correction(params.rest2, t));
    clock[row + 4u] = params.keep;
    clock[row + 5u] = -params.lr * next / (1.0 - product * next);
    clock[row + 6u] = product;
}

// ρₜ of RAdam: ρ∞ − 2t·βᵗ / (1 − βᵗ). With 1 − βᵗ = t·r·(1 − r·q) for r = 1 − β this is 2t − 1 − 2q / (1 − r·q), which for
// small t·r has no large terms that cancel; q is a binomial series.
fn simple_average_length(t: f32) -> f32 {
    let r = params.rest2;
    if t * r >= 0.5 {
        let rest = correction(r, t);
        return 2.0 / r - 1.0 - 2.0 * t * (1.0 - rest) / rest;
    }
    var term = 0.5 * (t - 1.0);
    var q = term;
    for (var k = 1u; k < 16u; k += 1u) {
        term *= -(t - 1.0 - f32(k)) * r / f32(k + 2u);
        q += term;
    }
    return 2.0 * t - 1.0 - 2.0 * q / (1.0 - r * q);
}

@compute @workgroup_size(WG)
fn radam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = tick(group, groups, local);
    if row == 0xffffffffu {
        return;
    }
    let t = clock[row];
    let step_size = -params.lr / correction(params.rest1, t);
    let longest = 2.0 / params.rest2 - 1.0;
    let length = simple_average_length(t);
    let rectified = length > 5.0;
    let rectify = (length - 4.0) / (longest - 4.0) * ((length - 2.0) / (longest - 2.0)) * (longest / length);
    let factor = lg_sqrt(max(rectify * correction(params.rest2, t), 0.0));
    clock[row + 2u] = select(step_size, step_size * factor, rectified);
    clock[row + 3u] = select(0.0, 1.0, rectified);
    clock[row + 4u] = params.keep;
}

@compute @workgroup_size(WG)
fn asgd(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = tick(group, groups, local);
    if row == 0xffffffffu {
        return;
    }
    let t = clock[row];
    clock[row + 2u] = -clock[row + 6u];
    clock[row + 3u] = clock[row + 7u];
    clock[row + 4u] = 1.0 - params.lambd * clock[row + 6u];
    clock[row + 6u] = params.lr / lg_pow(1.0 + params.lambd * params.lr * t, params.alpha);
    clock[row + 7u] = 1.0 / max(1.0, t - params.t0);
}
