// One step of NAdam for a range of an arena of parameters, in place.
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
    let more = clock[params.row / 4u + 1u];
    let old = parameter[i] * more.x;
    let g = params.sign * gradient[i] + params.weight_decay * old;
    let m = average[i] + params.rest1 * (g - average[i]);
    let v = params.beta2 * square[i] + params.rest2 * g * g;
    average[i] = m;
    square[i] = v;
    let step = now.z * g + more.y * m;
    parameter[i] = old + step / (sqrt(v) / now.w + params.eps);
}
