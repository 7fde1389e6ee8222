// Words that hold two halves each, the first in the low bits. KIND of the prelude says which of the two types they are. Kernels
// that import `common/words` instead have f32 in their place.
#import common/half

alias word = u32;

const PER_WORD: u32 = 2u;

// Where the word lies that element `at` of an array is in.
fn word_at(at: u32) -> u32 {
    return at >> 1u;
}

// Element `at`, from its word.
fn number(w: word, at: u32) -> f32 {
    return bitcast<f32>(widen(KIND, half_of(w, at)));
}

// An f32 in an array that is bound as words.
fn whole_word(value: f32) -> word {
    return bitcast<u32>(value);
}

// Two neighbours; of f32 the first.
fn word_of(first: f32, second: f32) -> word {
    return narrow(KIND, bitcast<u32>(first)) | (narrow(KIND, bitcast<u32>(second)) << 16u);
}

// The words of four neighbours.
alias word4 = vec2<u32>;

fn four(words: word4) -> vec4<f32> {
    return vec4<f32>(number(words.x, 0u), number(words.x, 1u), number(words.y, 0u), number(words.y, 1u));
}

fn words_of(values: vec4<f32>) -> word4 {
    return vec2<u32>(word_of(values.x, values.y), word_of(values.z, values.w));
}
