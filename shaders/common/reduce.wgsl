// Reductions: for every output one walk over the elements that it is made of.

#import common/index

struct Params {
    // outputs; elements of each; how many parts those are split into, and elements of a part
    n: u32,
    r: u32,
    splits: u32,
    part: u32,
    // dims that are kept, then dims that are reduced
    kept_rank: u32,
    rank: u32,
    // first elements of input and result
    offset: u32,
    result_offset: u32,
    // a number that `finish` multiplies with, 1 while parts are left
    scale: f32,
    // whether the input holds the best elements of parts and not all (positions of extrema)
    merging: u32,
    // elements between neighbours of a row in a contiguous result (softmax)
    inner: u32,
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

// The offset of number `i` of the dims from `first` up to, not including, `end`.
fn dims_offset(i: u32, first: u32, end: u32) -> u32 {
    var rest = i;
    var offset = 0u;
    for (var d = end; d > first + 1u; d -= 1u) {
        let size = params.shape[(d - 1u) >> 2u][(d - 1u) & 3u];
        let next = divide(rest, size);
        offset += (rest - next * size) * params.strides[(d - 1u) >> 2u][(d - 1u) & 3u];
        rest = next;
    }
    if end > first {
        offset += rest * params.strides[first >> 2u][first & 3u];
    }
    return offset;
}

// Where the elements of an output start.
fn output_base(output: u32) -> u32 {
    return params.offset + dims_offset(output, 0u, params.kept_rank);
}

// Where element `j` of an output lies, from its base.
fn element_offset(j: u32) -> u32 {
    return dims_offset(j, params.kept_rank, params.rank);
}

// Whether the elements of an output lie the same step apart: a walk without `element_offset` is faster on lavapipe
// (`cargo bench --bench elementwise -- sum`).
fn in_one_dim() -> bool {
    return params.rank <= params.kept_rank + 1u;
}

fn element_step() -> u32 {
    return params.strides[params.kept_rank >> 2u][params.kept_rank & 3u];
}

// `element_offset` of an operation that reduces one dim only.
fn row_offset(j: u32) -> u32 {
    return j * element_step();
}
