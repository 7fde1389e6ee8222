// One step of SGD for a range of an arena of parameters, in place.
#import common/index

struct Params {
    // the range, multiples of four
    first: u32,
    n: u32,
    lr: f32,
    momentum: f32,
    dampening: f32,
    weight_decay: f32,
    // −1 to maximise
    sign: f32,
    // whether the momentum is Nesterov's
    nesterov: u32,
    // where the clock's row starts
    row: u32,
    // whether `found` tells of gradients that are no numbers
    has_found: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> found: array<u32>;
@group(0) @binding(3) var<storage, read> faults: array<u32, 4>;
// With momentum the clock tells of bad indices.
@group(0) @binding(2) var<storage, read_write> velocity: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> clock: array<vec4<f32>>;

fn decayed(i: u32) -> vec4<f32> {
    return params.sign * gradient[i] + params.weight_decay * parameter[i];
}

@compute @workgroup_size(WG)
fn plain(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    if id >= params.n / 4u || faults[0] != 0u || (params.has_found != 0u && found[0] != 0u) {
        return;
    }
    let i = params.first / 4u + id;
    parameter[i] -= params.lr * decayed(i);
}

@compute @workgroup_size(WG)
fn momentum(
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
    let g = decayed(i);
    // The first gradient is taken as it is.
    var v = g;
    if now.x != 1.0 {
        v = params.momentum * velocity[i] + (1.0 - params.dampening) * g;
    }
    velocity[i] = v;
    let direction = select(v, g + params.momentum * v, vec4(params.nesterov != 0u));
    parameter[i] += now.z * direction;
}
