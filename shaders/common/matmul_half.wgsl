// What `common/matmul` has, for operands of half the width: two numbers in a word, sums in f32. KIND of the prelude says
// which they are. The result has an even number of columns, so that no word is in two rows.
#import common/matmul_params
#import common/half

@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<u32>;
@group(0) @binding(3) var<storage, read_write> c: array<u32>;

// Neighbouring columns that a thread makes.
const PAIR: u32 = 2u;

fn number(word: u32, at: u32) -> f32 {
    return bitcast<f32>(widen(KIND, half_of(word, at)));
}

fn read_a(at: u32) -> f32 {
    return number(a[at >> 1u], at);
}

fn read_b(at: u32) -> f32 {
    return number(b[at >> 1u], at);
}

// Adds the bias to two elements and writes them, unless they lie beyond the edge. They are neighbours (`apart` is 1), the
// first in an even column.
fn store_two(at: u32, row: u32, column: u32, apart: u32, first: f32, second: f32) {
    if row < params.m && column < params.n {
        var sums = vec2<f32>(first, second);
        if params.has_bias != 0u {
            let place = params.offsets.z + column;
            sums += vec2<f32>(number(bias[place >> 1u], place), number(bias[(place + 1u) >> 1u], place + 1u));
        }
        let halves = vec2<u32>(narrow(KIND, bitcast<u32>(sums.x)), narrow(KIND, bitcast<u32>(sums.y)));
        c[(at + row * params.n + column) >> 1u] = halves.x | (halves.y << 16u);
    }
}
