// One step of Adam for a range of an arena of parameters, in place.
#import common/index

struct Params {
    // the range, multiples of four, and where the clock's row starts
    first: u32,
    n: u32,
    row: u32,
    beta2: f32,
    // 1 − β₁ and 1 − β₂, which f32 betas would give with few digits
    rest1: f32,
    rest2: f32,
    eps: f32,
    // added to the gradient, times the parameter; 0 where decay is decoupled
    weight_decay: f32,
    // −1 to maximise
    sign: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> average: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> square: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> clock: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> largest: array<vec4<f32>>;

// The position of this thread's four elements, or the largest number where there are none or the clock stands still, as
// it does after a bad index.
fn position(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    let id = linear_id(group, groups, local);
    if id >= params.n / 4u || clock[params.row / 4u].y == 0.0 {
        return 0xffffffffu;
    }
    return params.first / 4u + id;
}

struct Moments {
    // what decoupled decay leaves of the parameter
    old: vec4<f32>,
    m: vec4<f32>,
    v: vec4<f32>,
}

fn moments(i: u32) -> Moments {
    let old = parameter[i] * clock[params.row / 4u + 1u].x;
    let g = params.sign * gradient[i] + params.weight_decay * old;
    let m = average[i] + params.rest1 * (g - average[i]);
    let v = params.beta2 * square[i] + params.rest2 * g * g;
    average[i] = m;
    square[i] = v;
    return Moments(old, m, v);
}

// −lr·m̂ / (√v̂ + ε)
fn change(m: vec4<f32>, v: vec4<f32>) -> vec4<f32> {
    let row = clock[params.row / 4u];
    return row.z * m / (sqrt(v) / row.w + params.eps);
}

// Tests by bits: comparisons may assume that there is no NaN.
fn are_nan(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
}

@compute @workgroup_size(WG)
fn plain(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = position(group, groups, local);
    if i == 0xffffffffu {
        return;
    }
    let now = moments(i);
    parameter[i] = now.old + change(now.m, now.v);
}

@compute @workgroup_size(WG)
fn amsgrad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = position(group, groups, local);
    if i == 0xffffffffu {
        return;
    }
    let now = moments(i);
    // A NaN stays one.
    let v = select(largest[i], now.v, (now.v > largest[i]) | are_nan(now.v));
    largest[i] = v;
    parameter[i] = now.old + change(now.m, v);
}
