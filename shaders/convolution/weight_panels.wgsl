// The gradient of a convolution's weight as a product of g with x, for GPUs. Every workgroup makes a tile of 64 channels of g
// times 64 weights of each from one part of the places, every thread a block of 4×4 of it; panels of both, 16 places deep, go
// through workgroup memory.
#import common/index
#import common/convolution_weight

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

// Four neighbouring channels, four neighbouring weights. One more a line than there are, so that neighbouring threads, which
// bring in neighbouring places, write to different banks.
const LINE: u32 = 17u;
var<workgroup> a_panel: array<vec4<f32>, 272>;
var<workgroup> b_panel: array<vec4<f32>, 272>;

// A weight of a channel: where it reads x, relative to a place of g.
struct Column {
    // first element in x, without image, line and column
    at: u32,
    h: u32,
    v: u32,
    exists: bool,
}

fn column_at(number: u32, of_group: u32) -> Column {
    let s = number % params.taps.y;
    let r = number / params.taps.y % params.taps.x;
    let c = number / params.taps.y / params.taps.x;
    return Column(
        params.offsets.y + (of_group * params.channels + c) * params.x_strides.y,
        r * u32(params.dilation.x) + u32(params.origin.x),
        s * u32(params.dilation.y) + u32(params.origin.y),
        c < params.channels,
    );
}

fn load_g(at: u32, row: u32, exists: bool) -> f32 {
    if row >= params.rows || !exists {
        return 0.0;
    }
    return read_g(at + row * params.g_strides.y);
}

// What a column reads for a place: image, h, w.
fn load_x(column: Column, place: vec3<u32>, exists: bool) -> f32 {
    let h = place.y * params.stride.x + column.h;
    let v = place.z * params.stride.y + column.v;
    if !exists || !column.exists || h >= params.in_size.x || v >= params.in_size.y {
        return 0.0;
    }
    return read_x(column.at + place.x * params.x_strides.x + h * params.x_strides.z + v * params.x_strides.w);
}

fn store_four(at: u32, row: u32, column: u32, sums: vec4<f32>) {
    let columns = params.channels * params.taps.x * params.taps.y;
    if row < params.rows {
        let start = at + row * columns + column;
        if column < columns { y[start] = sums.x; }
        if column + 1u < columns { y[start + 1u] = sums.y; }
        if column + 2u < columns { y[start + 2u] = sums.z; }
        if column + 3u < columns { y[start + 3u] = sums.w; }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let columns = params.channels * params.taps.x * params.taps.y;
    let column_tiles = (columns + TILE - 1u) / TILE;
    let row_tiles = (params.rows + TILE - 1u) / TILE;
    let number = linear_group(group, groups);
    let split = number / (column_tiles * row_tiles * params.groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if split >= params.splits {
        return;
    }
    let first_column = number % column_tiles * TILE;
    let first_row = number / column_tiles % row_tiles * TILE;
    let of_group = number / column_tiles / row_tiles % params.groups;

    // This thread's block, and what it brings in of each panel.
    let block_row = local / 16u;
    let block_column = local % 16u;
    let load_line = local % 16u;
    let load_quad = local / 16u;
    let panel = load_line * LINE + load_quad;
    let row = first_row + 4u * load_quad;
    let column = first_column + 4u * load_quad;
    let column0 = column_at(column, of_group);
    let column1 = column_at(column + 1u, of_group);
    let column2 = column_at(column + 2u, of_group);
    let column3 = column_at(column + 3u, of_group);
    let g_at = params.offsets.x + of_group * params.rows * params.g_strides.y;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    let places = places_of(split);
    for (var depth = places.x; depth < places.y; depth += DEPTH) {
        let exists = depth + load_line < places.y;
        let place = place_at(depth + load_line);
        let at = g_at + place.x * params.g_strides.x + place.y * params.g_strides.z + place.z * params.g_strides.w;
        a_panel[panel] = vec4<f32>(
            load_g(at, row, exists),
            load_g(at, row + 1u, exists),
            load_g(at, row + 2u, exists),
            load_g(at, row + 3u, exists),
        );
        b_panel[panel] = vec4<f32>(
            load_x(column0, place, exists),
            load_x(column1, place, exists),
            load_x(column2, place, exists),
            load_x(column3, place, exists),
        );
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i += 4u) {
            // naga writes loops that compilers do not unroll: four steps by hand.
            var a = a_panel[i * LINE + block_row];
            var b = b_panel[i * LINE + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
            a = a_panel[(i + 1u) * LINE + block_row];
            b = b_panel[(i + 1u) * LINE + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
            a = a_panel[(i + 2u) * LINE + block_row];
            b = b_panel[(i + 2u) * LINE + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
            a = a_panel[(i + 3u) * LINE + block_row];
            b = b_panel[(i + 3u) * LINE + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
        }
        workgroupBarrier();
    }

    let result = params.offsets.z + (split * params.groups + of_group) * params.rows * columns;
    let own_row = first_row + 4u * block_row;
    let own_column = first_column + 4u * block_column;
    store_four(result, own_row, own_column, sum0);
    store_four(result, own_row + 1u, own_column, sum1);
    store_four(result, own_row + 2u, own_column, sum2);
    store_four(result, own_row + 3u, own_column, sum3);
}
