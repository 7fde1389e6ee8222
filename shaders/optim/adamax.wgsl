// One step of Adamax for a range of an arena of parameters, in place.
#import common/index

// Tests by bits: comparisons may assume that there is no NaN.
fn are_nan(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
}

struct Params {
    // the range, multiples of four, and where the clock's row starts
    first: u32,
    n: u32,
    row: u32,
    // 1 − β₁, which an f32 β₁ would give with few digits
    rest1: f32,
    beta2: f32,
    eps: f32,
    // added to the gradient, times the parameter
    weight_decay: f32,
    // −1 to maximise
    sign: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> average: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> largest: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> clock: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    let now = clock[params.row / 4u];
    // The clock stands still after a bad index.
    if id >= params.n / 4u || now.y == 0.0 {
        return;
    }
    let i = params.first / 4u + id;
    let g = params.sign * gradient[i] + params.weight_decay * parameter[i];
    let m = average[i] + params.rest1 * (g - average[i]);
    let decayed = params.beta2 * largest[i];
    let size = abs(g) + params.eps;
    // A NaN gradient stays one.
    let u = select(decayed, size, (size > decayed) | are_nan(size));
    average[i] = m;
    largest[i] = u;
    parameter[i] += now.z * m / u;
}
