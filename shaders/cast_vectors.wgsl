// Conversion between f32 and floats of half the width, eight neighbours a thread: both lie row by row, from the start of a
// vector of 16 bytes on, and their number is a multiple of eight. FROM and TO of the prelude: 0 f32, 3 f16, 4 bf16.
#import common/index
#import common/elementwise
#import common/half

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

fn both(low: u32, high: u32) -> u32 {
    return narrow(TO, low) | (narrow(TO, high) << 16u);
}

fn four(words: vec2<u32>) -> vec4<u32> {
    return vec4<u32>(
        widen(FROM, words.x & 0xffffu),
        widen(FROM, words.x >> 16u),
        widen(FROM, words.y & 0xffffu),
        widen(FROM, words.y >> 16u),
    );
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n / 8u {
        return;
    }
    let first = params.offsets.x;
    let place = params.offsets.w;
    if TO >= F16 {
        let low = x[first / 4u + 2u * i];
        let high = x[first / 4u + 2u * i + 1u];
        y[place / 8u + i] = vec4<u32>(both(low.x, low.y), both(low.z, low.w), both(high.x, high.y), both(high.z, high.w));
    } else {
        let words = x[first / 8u + i];
        y[place / 4u + 2u * i] = four(words.xy);
        y[place / 4u + 2u * i + 1u] = four(words.zw);
    }
}
