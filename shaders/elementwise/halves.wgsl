// Eight floats of half the width in four words, as floats of f32. KIND of the prelude says which of the two types they are.
#import common/half_words

const PER_THREAD: u32 = 8u;

// Elements 0 to 3, and 4 to 7.
fn low(words: vec4<u32>) -> vec4<f32> {
    return four(words.xy);
}

fn high(words: vec4<u32>) -> vec4<f32> {
    return four(words.zw);
}

fn packed(v: vec4<f32>, w: vec4<f32>) -> vec4<u32> {
    return vec4<u32>(word_of(v.x, v.y), word_of(v.z, v.w), word_of(w.x, w.y), word_of(w.z, w.w));
}
