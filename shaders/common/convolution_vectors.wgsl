// What the kernels of a convolution share that read and write vectors of four.
#import common/convolution_params

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

// What a thread makes: some lines of four places each.
struct Tile {
    // first channel
    row: u32,
    image: u32,
    line: u32,
    column: u32,
    places: u32,
    // whether the workgroup has anything to do
    exists: bool,
}

// Tile `number` of as many as there are; channels change fastest, so that neighbours read the same x.
fn tile_at(number: u32, rows: u32, lines: u32, lane: u32) -> Tile {
    let row_tiles = (params.rows + rows - 1u) / rows;
    let across = (params.out_size.y + 3u) / 4u;
    let down = (params.out_size.x + lines - 1u) / lines;
    let blocks = params.batch * down * across;
    let first = number / row_tiles * 8u;
    // Threads beyond the last block make it again.
    let block = min(first + lane, blocks - 1u);
    return Tile(
        number % row_tiles * rows,
        block / across / down,
        block / across % down * lines,
        block % across * 4u,
        select(0u, 4u, first + lane < blocks),
        first < blocks,
    );
}

// The bias of a channel, or 0.
fn bias_of(row: u32) -> f32 {
    if params.has_bias == 0u {
        return 0.0;
    }
    return bias[params.offsets.z + min(row, params.rows - 1u) * params.bias_stride];
}
