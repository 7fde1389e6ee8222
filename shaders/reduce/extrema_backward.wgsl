// The gradient of amax and amin: shared evenly among the elements that equal the extreme.
#import common/index
#import common/elementwise
#import common/math

// Bindings of `hits`.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> extreme: array<f32>;
@group(0) @binding(2) var<storage, read_write> is_hit: array<f32>;

// Bindings of `share`.
@group(0) @binding(0) var<storage, read> hit: array<f32>;
@group(0) @binding(1) var<storage, read> hits_of_all: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// 1 where an element equals its extreme. `scalars.x`: whether a NaN equals a NaN.
@compute @workgroup_size(WG)
fn hits(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let at = operand_offsets(i);
    let a = x[at.x];
    let b = extreme[at.y];
    is_hit[result_offset(i)] = select(0.0, 1.0, equal(a, b));
}

// By their bits, which keeps denormals apart where the arithmetic flushes them.
fn equal(a: f32, b: f32) -> bool {
    if is_nan(a) || is_nan(b) {
        return params.scalars.x != 0u && is_nan(a) && is_nan(b);
    }
    let zeros = ((bitcast<u32>(a) | bitcast<u32>(b)) << 1u) == 0u;
    return zeros || bitcast<u32>(a) == bitcast<u32>(b);
}

// The gradient divided by the number of hits where there is one; NaN if nothing equals a NaN.
@compute @workgroup_size(WG)
fn share(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let at = operand_offsets(i);
    let count = hits_of_all[at.y];
    var d = 0.0;
    if count == 0.0 {
        d = nan_f32();
    } else if hit[at.x] != 0.0 {
        d = g[at.z] / count;
    }
    dx[result_offset(i)] = d;
}
