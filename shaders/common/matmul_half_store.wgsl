// Bias and result of a product of halves: two numbers in a word. KIND says which they are. The result has an
// even number of columns, so that no word is in two rows.
#import common/matmul_params
#import common/half_words

@group(0) @binding(2) var<storage, read> bias: array<u32>;
@group(0) @binding(3) var<storage, read_write> c: array<u32>;

// Adds the bias to two elements and writes them, unless they lie beyond the edge. They are neighbours (`apart` is 1), the
// first in an even column.
fn store_two(at: u32, row: u32, column: u32, apart: u32, first: f32, second: f32) {
    if row < params.m && column < params.n {
        var sums = vec2<f32>(first, second);
        if params.has_bias != 0u {
            let place = params.offsets.z + column;
            sums += vec2<f32>(number(bias[place >> 1u], place), number(bias[(place + 1u) >> 1u], place + 1u));
        }
        c[(at + row * params.n + column) >> 1u] = word_of(sums.x, sums.y);
    }
}
