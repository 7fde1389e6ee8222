// Random numbers, four from each block of Philox: the counter is the block's number and the operation's, the key the seed.
#import common/index
#import common/math
#import common/random

struct Params {
    n: u32,
    result_offset: u32,
    // the operation's counter, and the seed
    counter: vec2<u32>,
    seed: vec2<u32>,
    // bits of the distribution's numbers: low and range, or mean and deviation
    a: u32,
    b: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read_write> y: array<elem>;

fn block(id: u32) -> vec4<u32> {
    return philox(vec4<u32>(id, 0u, params.counter), params.seed);
}

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
    let values = distribution(block(id));
    let first = 4u * id;
    for (var i = 0u; i < 4u; i += 1u) {
        if first + i < params.n {
            y[params.result_offset + first + i] = values[i];
        }
    }
}
