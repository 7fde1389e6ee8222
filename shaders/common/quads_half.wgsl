// What `common/quads` has, for numbers of half the width.
#import common/half_words

@group(0) @binding(0) var<storage, read> x: array<word4>;

fn read_quad(at: u32) -> vec4<f32> {
    return four(x[at]);
}
