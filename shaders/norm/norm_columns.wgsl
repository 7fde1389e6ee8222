// What `by_thread` of `norm_backward.wgsl` does for elements that share their weight and have moments of their own, four
// neighbouring weights at a time: the gradients of weights that are the same for every row.
#import common/index
#import common/math
#import common/norm

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> spread: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> parts: array<f32>;

fn store(at: u32, sums: vec4<f32>) {
    parts[at] = sums.x;
    parts[at + 1u] = sums.y;
    parts[at + 2u] = sums.z;
    parts[at + 3u] = sums.w;
}

// A thread for four weights and a part.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let quads = params.count / 4u;
    let id = linear_id(group, groups, local);
    if id >= quads * params.splits {
        return;
    }
    let split = id / quads;
    let k = 4u * (id - split * quads);
    let first = split * params.part;
    let end = first + elements_of_part(split);
    var sums = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    for (var j = first; j < end; j += 1u) {
        let v = g[(params.g_offset + j * params.count + k) >> 2u];
        let distance = x[(params.x_offset + j * params.count + k) >> 2u] - mean[params.mean_offset + j];
        sums += v;
        products += v * (distance * reciprocal_deviation(spread[params.spread_offset + j]));
    }
    store(split * params.count + k, sums);
    store((params.splits + split) * params.count + k, products);
}
