// `unary.wgsl` for halves that lie like the result, in whole vectors: its elements 8i to 8i + 7 come from
// vector i of each operand. `halves.wgsl` converts them.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

fn maths(v: vec4<f32>, a: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(forward(v.x, a), forward(v.y, a), forward(v.z, a), forward(v.w, a));
}

fn run(i: u32) {
    let firsts = (params.offsets.xyz >> vec3(3u)) + i;
    let v = x[firsts.x];
    let a = bitcast<vec4<f32>>(params.scalars);
    y[(params.offsets.w >> 3u) + i] = packed(maths(low(v), a), maths(high(v), a));
}
