// Operands that lie like the result, all of them floats of half the width: elements 4i to 4i + 3 are the two words of vector
// i. KIND of the prelude says which type they are; the maths is that of f32.
#import common/half

alias loaded = vec2<u32>;
alias stored = vec2<u32>;

fn firsts_of(i: u32) -> vec3<u32> {
    return params.offsets.xyz + 4u * i;
}

fn wide(half: u32) -> f32 {
    return bitcast<f32>(widen(KIND, half));
}

fn spread(v: loaded, first: u32, operand: u32) -> vec4<f32> {
    return vec4<f32>(wide(v.x & 0xffffu), wide(v.x >> 16u), wide(v.y & 0xffffu), wide(v.y >> 16u));
}

fn pair(low: f32, high: f32) -> u32 {
    return narrow(KIND, bitcast<u32>(low)) | (narrow(KIND, bitcast<u32>(high)) << 16u);
}

fn packed(v: vec4<f32>) -> stored {
    return vec2<u32>(pair(v.x, v.y), pair(v.z, v.w));
}
