// What all kernels of a matrix product share: params, where a batch starts, and which tile a workgroup makes.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    batches: u32,
    rank: u32,
    has_bias: u32,
    // first elements of a, b, bias and c
    offsets: vec4<u32>,
    // steps from row to row and from column to column
    a_strides: vec2<u32>,
    b_strides: vec2<u32>,
    // the batch: sizes, and steps in a and b
    shape: array<vec4<u32>, 2>,
    a_batch: array<vec4<u32>, 2>,
    b_batch: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

// Where matrix number `batch` starts in a and in b.
fn batch_offsets(batch: u32) -> vec2<u32> {
    var rest = batch;
    var offset = vec2<u32>(0u, 0u);
    for (var d = params.rank; d > 0u; d -= 1u) {
        let size = params.shape[(d - 1u) >> 2u][(d - 1u) & 3u];
        let next = rest / size;
        let i = rest - next * size;
        offset.x += i * params.a_batch[(d - 1u) >> 2u][(d - 1u) & 3u];
        offset.y += i * params.b_batch[(d - 1u) >> 2u][(d - 1u) & 3u];
        rest = next;
    }
    return offset;
}

// The part of a matrix that a workgroup makes.
struct Tile {
    batch: u32,
    row: u32,
    column: u32,
    // whether there is one of this number: a folded grid has more workgroups
    exists: bool,
}

// Tile `number` of all matrices, of `rows` by `columns` elements.
fn tile_at(number: u32, rows: u32, columns: u32) -> Tile {
    let across = (params.n + columns - 1u) / columns;
    let tiles = across * ((params.m + rows - 1u) / rows);
    let of_matrix = number % tiles;
    return Tile(number / tiles, of_matrix / across * rows, of_matrix % across * columns, number < tiles * params.batches);
}
