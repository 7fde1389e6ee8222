// One step of RMSprop for a range of an arena of parameters, in place.
#import common/index

struct Params {
    // the range, multiples of four, and where the clock's row starts
    first: u32,
    n: u32,
    row: u32,
    alpha: f32,
    // 1 − α, which an f32 α would give with few digits
    rest: f32,
    eps: f32,
    momentum: f32,
    // added to the gradient, times the parameter
    weight_decay: f32,
    // −1 to maximise
    sign: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> square: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> clock: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> more: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> velocity: array<vec4<f32>>;

// The position of this thread's four elements, or the largest number where there are none or the clock stands still.
fn position(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    let id = linear_id(group, groups, local);
    if id >= params.n / 4u || clock[params.row / 4u].y == 0.0 {
        return 0xffffffffu;
    }
    return params.first / 4u + id;
}

fn decayed(i: u32) -> vec4<f32> {
    return params.sign * gradient[i] + params.weight_decay * parameter[i];
}

fn next_square(i: u32, g: vec4<f32>) -> vec4<f32> {
    let v = params.alpha * square[i] + params.rest * g * g;
    square[i] = v;
    return v;
}

// The root of the variance; `more` is the average of gradients.
fn deviation(i: u32, g: vec4<f32>) -> vec4<f32> {
    let v = next_square(i, g);
    let mean = more[i] + params.rest * (g - more[i]);
    more[i] = mean;
    return sqrt(v - mean * mean);
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
    let g = decayed(i);
    parameter[i] += clock[params.row / 4u].z * g / (sqrt(next_square(i, g)) + params.eps);
}

@compute @workgroup_size(WG)
fn centered(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = position(group, groups, local);
    if i == 0xffffffffu {
        return;
    }
    let g = decayed(i);
    parameter[i] += clock[params.row / 4u].z * g / (deviation(i, g) + params.eps);
}

@compute @workgroup_size(WG)
fn momentum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = position(group, groups, local);
    if i == 0xffffffffu {
        return;
    }
    // `more` is the momentum.
    let g = decayed(i);
    let m = params.momentum * more[i] + g / (sqrt(next_square(i, g)) + params.eps);
    more[i] = m;
    parameter[i] += clock[params.row / 4u].z * m;
}

@compute @workgroup_size(WG)
fn centered_momentum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = position(group, groups, local);
    if i == 0xffffffffu {
        return;
    }
    let g = decayed(i);
    let m = params.momentum * velocity[i] + g / (deviation(i, g) + params.eps);
    velocity[i] = m;
    parameter[i] += clock[params.row / 4u].z * m;
}
