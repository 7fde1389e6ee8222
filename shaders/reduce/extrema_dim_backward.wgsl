// The gradient of an extremum along a dim: all of it goes to the element that was taken.
#import common/index

struct Params {
    n: u32,
    // elements of the dim, and elements between neighbours in it
    size: u32,
    inner: u32,
    g_offset: u32,
    result_offset: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let row = i / (params.inner * params.size) * params.inner + i % params.inner;
    let own = u32(indices[row]) == i / params.inner % params.size;
    dx[params.result_offset + i] = select(0.0, g[params.g_offset + row], own);
}
