// What the kernels of the gradient of a convolution's weight share that read single numbers: bindings, and how they are read.
// Numbers are what `common/words` or `common/half_words` says; the result is f32, as parts of it are still to be summed.
#import common/convolution_weight_params

@group(0) @binding(0) var<storage, read> g: array<word>;
@group(0) @binding(1) var<storage, read> x: array<word>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn read_g(at: u32) -> f32 {
    return number(g[word_at(at)], at);
}

fn read_x(at: u32) -> f32 {
    return number(x[word_at(at)], at);
}
