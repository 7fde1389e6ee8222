// The gradient of overlapping windows: every element adds up its places in all windows that hold it, in their order.
#import common/index

struct Params {
    n: u32,
    // elements of the dim, and elements between neighbours in it
    length: u32,
    inner: u32,
    // windows, elements of each, and elements from one's start to the next one's
    windows: u32,
    size: u32,
    step: u32,
    g_offset: u32,
    result_offset: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;

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
    let at = i / params.inner % params.length;
    let outer = i / (params.inner * params.length);
    // The first window that reaches this far, and the one behind the last that starts before.
    var first = 0u;
    if at >= params.size {
        first = (at - params.size) / params.step + 1u;
    }
    let end = min(at / params.step + 1u, params.windows);
    var sum = 0.0;
    for (var w = first; w < end; w += 1u) {
        let row = (outer * params.windows + w) * params.inner + i % params.inner;
        sum += g[params.g_offset + row * params.size + (at - w * params.step)];
    }
    dx[params.result_offset + i] = sum;
}
