// One step of Rprop for a range of an arena of parameters, in place.
#import common/index

// The sign; 0 for NaN, as in PyTorch.
fn direction(x: f32) -> f32 {
    return select(0.0, 1.0, x > 0.0) - select(0.0, 1.0, x < 0.0);
}

struct Params {
    // the range, and where the clock's row starts
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
@group(1) @binding(0) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(2) var<storage, read_write> previous: array<f32>;
@group(0) @binding(3) var<storage, read_write> size: array<f32>;
@group(0) @binding(4) var<storage, read> clock: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    // The clock stands still after a bad index.
    if id >= params.n || clock[params.row + 1u] == 0.0 {
        return;
    }
    let i = params.first + id;
    var g = params.sign * gradient[i];
    let agreement = direction(g) * direction(previous[i]);
    var factor = 1.0;
    if agreement > 0.0 {
        factor = params.grow;
    } else if agreement < 0.0 {
        factor = params.shrink;
        g = 0.0;
    }
    let step = clamp(size[i] * factor, params.smallest, params.largest);
    size[i] = step;
    previous[i] = g;
    parameter[i] -= direction(g) * step;
}
