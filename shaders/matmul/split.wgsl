// C = the sum of the products of parts of k, which lie one behind the other, + bias. One thread an element.
#import common/index
#import common/matmul_params

@group(0) @binding(0) var<storage, read> products: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    let elements = params.m * params.n;
    if i >= elements {
        return;
    }
    var sum = 0.0;
    for (var at = i; at < params.batches * elements; at += elements) {
        sum += products[at];
    }
    if params.has_bias != 0u {
        sum += bias[params.offsets.z + i % params.n];
    }
    c[params.offsets.w + i] = sum;
}
