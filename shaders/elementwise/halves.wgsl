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
    return vec4<u32>(words_of(v), words_of(w));
}
