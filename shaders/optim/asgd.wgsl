// One step of ASGD for a range of an arena of parameters, in place.
#import common/index

struct Params {
    // the range, multiples of four, and where the clock's row starts
    first: u32,
    n: u32,
    row: u32,
    // added to the gradient, times the parameter
    weight_decay: f32,
    // −1 to maximise
    sign: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> clock: array<vec4<f32>>;

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
    let more = clock[params.row / 4u + 1u];
    let p = parameter[i] * more.x + now.z * g;
    let share = now.w;
    parameter[i] = p;
    mean[i] = select(mean[i] + (p - mean[i]) * share, p, vec4(share == 1.0));
}
