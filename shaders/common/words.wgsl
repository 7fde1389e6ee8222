// What `common/half_words` has, for numbers of a word each: kernels with either import read and write f32 or halves.

alias word = f32;

const PER_WORD: u32 = 1u;

fn word_at(at: u32) -> u32 {
    return at;
}

fn number(w: word, at: u32) -> f32 {
    return w;
}

fn whole_word(value: f32) -> word {
    return value;
}

fn word_of(first: f32, second: f32) -> word {
    return first;
}

alias word4 = vec4<f32>;

fn four(words: word4) -> vec4<f32> {
    return words;
}

fn words_of(values: vec4<f32>) -> word4 {
    return values;
}
