// `unary_backward.wgsl` for halves that lie like the result, in whole vectors: its elements 8i to 8i + 7 come from
// vector i of each operand. `halves.wgsl` converts them.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> g: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> s: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<u32>>;

fn maths(u: vec4<f32>, v: vec4<f32>, a: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(backward(u.x, v.x, a), backward(u.y, v.y, a), backward(u.z, v.z, a), backward(u.w, v.w, a));
}

fn run(i: u32) {
    let firsts = (params.offsets.xyz >> vec3(3u)) + i;
    let u = g[firsts.x];
    let v = s[firsts.y];
    let a = bitcast<vec4<f32>>(params.scalars);
    dx[(params.offsets.w >> 3u) + i] = packed(maths(low(u), low(v), a), maths(high(u), high(v), a));
}
