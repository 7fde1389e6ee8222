// `binary_backward.wgsl` for halves that lie like the result, in whole vectors: its elements 8i to 8i + 7 come from
// vector i of each operand. `halves.wgsl` converts them.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> g: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> y: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> d: array<vec4<u32>>;

fn maths(u: vec4<f32>, v: vec4<f32>, w: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(side(u.x, v.x, w.x), side(u.y, v.y, w.y), side(u.z, v.z, w.z), side(u.w, v.w, w.w));
}

fn run(i: u32) {
    let firsts = (params.offsets.xyz >> vec3(3u)) + i;
    let u = g[firsts.x];
    let v = x[firsts.y];
    let w = y[firsts.z];
    d[(params.offsets.w >> 3u) + i] = packed(maths(low(u), low(v), low(w)), maths(high(u), high(v), high(w)));
}
