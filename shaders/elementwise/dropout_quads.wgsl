// `dropout.wgsl` for elements that lie in whole vectors of four, one behind the other.
#import common/index
#import common/elementwise
#import common/random

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let words = philox(vec4<u32>(i, 0u, params.scalars.xy), params.scalars.zw);
    let is_dropped = words < vec4(params.extra.x);
    let factor = select(vec4(bitcast<f32>(params.extra.y)), vec4(0.0), is_dropped);
    y[result_quad(i)] = x[(params.offsets.x >> 2u) + i] * factor;
}
