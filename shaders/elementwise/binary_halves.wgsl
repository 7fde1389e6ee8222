// `binary.wgsl` for halves that lie like the result, in whole vectors: its elements 8i to 8i + 7 come from
// vector i of each operand. `halves.wgsl` converts them.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> z: array<vec4<u32>>;

fn maths(v: vec4<f32>, w: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(forward(v.x, w.x), forward(v.y, w.y), forward(v.z, w.z), forward(v.w, w.w));
}

fn run(i: u32) {
    let firsts = (params.offsets.xyz >> vec3(3u)) + i;
    let v = x[firsts.x];
    let w = y[firsts.y];
    z[(params.offsets.w >> 3u) + i] = packed(maths(low(v), low(w)), maths(high(v), high(w)));
}
