// y = x times 0 or a scale, drawn for each element: four from one block of random words. With the same counter and seed the
// gradient goes through the same kernel.
#import common/index
#import common/elementwise
#import common/random

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// `scalars` are the operation's counter and the seed; `extra` is the word below which an element is dropped, and the scale's
// bits.
@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    if id >= (params.n + 3u) / 4u {
        return;
    }
    let words = philox(vec4<u32>(id, 0u, params.scalars.xy), params.scalars.zw);
    let scale = bitcast<f32>(params.extra.y);
    for (var lane = 0u; lane < 4u; lane += 1u) {
        let i = 4u * id + lane;
        if i < params.n {
            y[result_offset(i)] = x[operand_offset(i, 0u)] * select(scale, 0.0, words[lane] < params.extra.x);
        }
    }
}
