// Copies images whose lines are whole vectors into ones whose lines are not: the way back from `pack.wgsl`. A thread a vector.
#import common/index

struct Params {
    // vectors, and the sizes of x: the last in vectors
    n: u32,
    offset: u32,
    spare: vec2<u32>,
    shape: vec4<u32>,
    // sizes of the last two dims of y
    out_size: vec2<u32>,
    more: vec2<u32>,
    strides: vec4<u32>,
}
@group(1) @binding(0) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let lines = divide(i, params.shape.w);
    let planes = divide(lines, params.shape.z);
    let images = divide(planes, params.shape.y);
    let h = lines - planes * params.shape.z;
    let v = 4u * (i - lines * params.shape.w);
    let at = params.offset + images * params.strides.x + (planes - images * params.shape.y) * params.strides.y
        + h * params.strides.z + v * params.strides.w;
    let values = x[i];
    if v < params.out_size.y { y[at] = values.x; }
    if v + 1u < params.out_size.y { y[at + params.strides.w] = values.y; }
    if v + 2u < params.out_size.y { y[at + 2u * params.strides.w] = values.z; }
    if v + 3u < params.out_size.y { y[at + 3u * params.strides.w] = values.w; }
}
