// What the kernels of a convolution share whose threads have a quad: four neighbouring places of a line of y.
#import common/index
#import common/convolution

const QUADS: u32 = 8u;

// What a thread makes; with subgroups that spread weights a workgroup is eight of them, for several channels.
struct Tile {
    group: u32,
    // first channel of the group
    row: u32,
    image: u32,
    line: u32,
    column: u32,
    // how many of the quad's places there are
    places: u32,
    // whether the workgroup has anything to do
    exists: bool,
}

// Tile `number` of as many as there are, of `rows` channels each; channels change fastest, so that neighbours read the same x.
fn tile_at(number: u32, rows: u32, lane: u32) -> Tile {
    let row_tiles = (params.rows + rows - 1u) / rows;
    let across = (params.out_size.y + 3u) / 4u;
    let quads = params.batch * params.out_size.x * across;
    let of_quads = number % (row_tiles * params.groups);
    let first = number / (row_tiles * params.groups) * QUADS;
    let quad = first + lane;
    let column = quad % across * 4u;
    return Tile(
        of_quads / row_tiles,
        of_quads % row_tiles * rows,
        quad / across / params.out_size.x,
        quad / across % params.out_size.x,
        column,
        select(0u, min(params.out_size.y - column, 4u), quad < quads),
        first < quads,
    );
}

// An element of a line of x that starts at `at`, or the 0 around it. `column` may have wrapped below 0.
fn load(at: u32, column: u32, inside: bool) -> f32 {
    let exists = inside && column < params.in_size.y;
    return select(0.0, read_x(select(0u, at + column * params.x_strides.w, exists)), exists);
}

// The bias of a channel of the tile's group, or 0.
fn bias_of(tile: Tile, row: u32) -> f32 {
    if params.has_bias == 0u {
        return 0.0;
    }
    return read_bias(params.offsets.z + (tile.group * params.rows + row) * params.bias_stride);
}

// Where the quad lies in y, without the channel.
fn quad_at(tile: Tile) -> u32 {
    return params.offsets.w + tile.image * params.y_strides.x + tile.group * params.rows * params.y_strides.y
        + tile.line * params.y_strides.z + tile.column * params.y_strides.w;
}

// Writes a channel's quad as far as it exists.
fn store_quad(at: u32, row: u32, places: u32, values: vec4<f32>) {
    if row < params.rows {
        let start = at + row * params.y_strides.y;
        let step = params.y_strides.w;
        if places > 0u { store_two(start, start + step, places > 1u, values.x, values.y); }
        if places > 2u { store_two(start + 2u * step, start + 3u * step, places > 3u, values.z, values.w); }
    }
}
