// One step of Rprop for a range of an arena of parameters, in place.
#import common/index

// The sign; 0 for NaN, as in PyTorch.
fn direction(x: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), vec4(1.0), x > vec4(0.0)) - select(vec4(0.0), vec4(1.0), x < vec4(0.0));
}

struct Params {
    // the range, multiples of four, and where the clock's row starts
    first: u32,
    n: u32,
    row: u32,
    shrink: f32,
    grow: f32,
    smallest: f32,
    largest: f32,
    // −1 to maximise
    sign: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> previous: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> size: array<vec4<f32>>;
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
    let g = params.sign * gradient[i];
    let agreement = direction(g) * direction(previous[i]);
    let agrees = agreement > vec4(0.0);
    let turned = agreement < vec4(0.0);
    let factor = select(select(vec4(1.0), vec4(params.shrink), turned), vec4(params.grow), agrees);
    let step = clamp(size[i] * factor, vec4(params.smallest), vec4(params.largest));
    // After a change of sign the gradient counts as 0.
    let kept = select(g, vec4(0.0), turned);
    size[i] = step;
    previous[i] = kept;
    parameter[i] -= direction(kept) * step;
}
