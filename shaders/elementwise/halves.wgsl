// Eight floats of half the width in four words, as floats of f32. KIND of the prelude says which of the two types they are.
#import common/half

const PER_THREAD: u32 = 8u;

fn wide(half: u32) -> f32 {
    return bitcast<f32>(widen(KIND, half));
}

fn four(words: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(wide(words.x & 0xffffu), wide(words.x >> 16u), wide(words.y & 0xffffu), wide(words.y >> 16u));
}

// Elements 0 to 3, and 4 to 7.
fn low(words: vec4<u32>) -> vec4<f32> {
    return four(words.xy);
}

fn high(words: vec4<u32>) -> vec4<f32> {
    return four(words.zw);
}

fn pair(first: f32, second: f32) -> u32 {
    return narrow(KIND, bitcast<u32>(first)) | (narrow(KIND, bitcast<u32>(second)) << 16u);
}

fn packed(v: vec4<f32>, w: vec4<f32>) -> vec4<u32> {
    return vec4<u32>(pair(v.x, v.y), pair(v.z, v.w), pair(w.x, w.y), pair(w.z, w.w));
}
