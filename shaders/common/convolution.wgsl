// What the kernels of a convolution share that read single numbers: bindings, and how they are read and written. Numbers are
// what `common/words` or `common/half_words` says.
#import common/convolution_params

@group(0) @binding(0) var<storage, read> x: array<word>;
@group(0) @binding(1) var<storage, read> w: array<word>;
@group(0) @binding(2) var<storage, read> bias: array<word>;
@group(0) @binding(3) var<storage, read_write> y: array<word>;

fn read_x(at: u32) -> f32 {
    return number(x[word_at(at)], at);
}

fn read_w(at: u32) -> f32 {
    return number(w[word_at(at)], at);
}

fn read_bias(at: u32) -> f32 {
    return number(bias[word_at(at)], at);
}

// Writes an element of y, and the next place of its line if there is one; in halves there always is, and both share a word.
fn store_two(at: u32, next: u32, has_next: bool, first: f32, second: f32) {
    if PER_WORD == 2u && params.result_is_half != 0u {
        y[word_at(at)] = word_of(first, second);
        return;
    }
    y[at] = whole_word(first);
    if has_next {
        y[next] = whole_word(second);
    }
}
