// The gradient of a convolution's weight for software drivers with subgroups of at least eight, for any stride and
// dilation. A workgroup is eight threads of one subgroup and makes 8 channels of g times 48 weights of each: a thread has six
// of them, and loads one channel of g, which the subgroup spreads. Unrolled by hand.
#import common/index
#import common/convolution_weight

const ROWS: u32 = 8u;
const COLUMNS: u32 = 48u;

// A weight: where it reads x, relative to a place of g.
struct Column {
    // first element in x, without image, line and column
    at: u32,
    line: u32,
    column: u32,
}

fn column_at(number: u32, of_group: u32) -> Column {
    let s = number % params.taps.y;
    let r = number / params.taps.y % params.taps.x;
    let c = min(number / params.taps.y / params.taps.x, params.channels - 1u);
    return Column(
        params.offsets.y + (of_group * params.channels + c) * params.x_strides.y,
        r * u32(params.dilation.x) + u32(params.origin.x),
        s * u32(params.dilation.y) + u32(params.origin.y),
    );
}

// Where a line of x starts, and whether it is there.
struct Line {
    start: u32,
    inside: bool,
}

fn line_at(column: Column, image: u32, line: u32) -> Line {
    let h = line * params.stride.x + column.line;
    return Line(column.at + image * params.x_strides.x + h * params.x_strides.z, h < params.in_size.x);
}

fn load(line: Line, column: u32) -> f32 {
    let exists = line.inside && column < params.in_size.y;
    return select(0.0, read_x(select(0u, line.start + column * params.x_strides.w, exists)), exists);
}

fn store(at: u32, row: u32, column: u32, sum: f32) {
    let columns = params.channels * params.taps.x * params.taps.y;
    if row < params.rows && column < columns {
        y[at + row * columns + column] = sum;
    }
}

fn store_row(at: u32, row: u32, column: u32, low: vec3<f32>, high: vec3<f32>) {
    store(at, row, column, low.x);
    store(at, row, column + 8u, low.y);
    store(at, row, column + 16u, low.z);
    store(at, row, column + 24u, high.x);
    store(at, row, column + 32u, high.y);
    store(at, row, column + 40u, high.z);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let columns = params.channels * params.taps.x * params.taps.y;
    let column_tiles = (columns + COLUMNS - 1u) / COLUMNS;
    let row_tiles = (params.rows + ROWS - 1u) / ROWS;
    let number = linear_group(group, groups);
    let split = number / (column_tiles * row_tiles * params.groups);
    // The same for the whole workgroup, so the subgroup stays together.
    if split >= params.splits {
        return;
    }
    let column = number % column_tiles * COLUMNS + lane;
    let first_row = number / column_tiles % row_tiles * ROWS;
    let of_group = number / column_tiles / row_tiles % params.groups;
    let column0 = column_at(column + 0u, of_group);
    let column1 = column_at(column + 8u, of_group);
    let column2 = column_at(column + 16u, of_group);
    let column3 = column_at(column + 24u, of_group);
    let column4 = column_at(column + 32u, of_group);
    let column5 = column_at(column + 40u, of_group);
    // This thread's channel of g.
    let row = min(first_row + lane, params.rows - 1u);
    let g_at = params.offsets.x + (of_group * params.rows + row) * params.g_strides.y;

    var low0 = vec3<f32>();
    var low1 = vec3<f32>();
    var low2 = vec3<f32>();
    var low3 = vec3<f32>();
    var low4 = vec3<f32>();
    var low5 = vec3<f32>();
    var low6 = vec3<f32>();
    var low7 = vec3<f32>();
    var high0 = vec3<f32>();
    var high1 = vec3<f32>();
    var high2 = vec3<f32>();
    var high3 = vec3<f32>();
    var high4 = vec3<f32>();
    var high5 = vec3<f32>();
    var high6 = vec3<f32>();
    var high7 = vec3<f32>();
    let places = places_of(split);
    var place = places.x;
    while place < places.y {
        // The rest of a line, or of the part.
        let at = place_at(place);
        let count = min(params.out_size.y - at.z, places.y - place);
        place += count;
        var from_g = g_at + at.x * params.g_strides.x + at.y * params.g_strides.z + at.z * params.g_strides.w;
        var v = at.z * params.stride.y;
        let line0 = line_at(column0, at.x, at.y);
        let line1 = line_at(column1, at.x, at.y);
        let line2 = line_at(column2, at.x, at.y);
        let line3 = line_at(column3, at.x, at.y);
        let line4 = line_at(column4, at.x, at.y);
        let line5 = line_at(column5, at.x, at.y);
        for (var i = 0u; i < count; i += 1u) {
            let own = read_g(from_g);
            from_g += params.g_strides.w;
            let x0 = vec3<f32>(
                load(line0, v + column0.column),
                load(line1, v + column1.column),
                load(line2, v + column2.column),
            );
            let x1 = vec3<f32>(
                load(line3, v + column3.column),
                load(line4, v + column4.column),
                load(line5, v + column5.column),
            );
            v += params.stride.y;
            let g0 = vec3<f32>(subgroupBroadcast(own, 0u));
            low0 = fma(g0, x0, low0);
            high0 = fma(g0, x1, high0);
            let g1 = vec3<f32>(subgroupBroadcast(own, 1u));
            low1 = fma(g1, x0, low1);
            high1 = fma(g1, x1, high1);
            let g2 = vec3<f32>(subgroupBroadcast(own, 2u));
            low2 = fma(g2, x0, low2);
            high2 = fma(g2, x1, high2);
            let g3 = vec3<f32>(subgroupBroadcast(own, 3u));
            low3 = fma(g3, x0, low3);
            high3 = fma(g3, x1, high3);
            let g4 = vec3<f32>(subgroupBroadcast(own, 4u));
            low4 = fma(g4, x0, low4);
            high4 = fma(g4, x1, high4);
            let g5 = vec3<f32>(subgroupBroadcast(own, 5u));
            low5 = fma(g5, x0, low5);
            high5 = fma(g5, x1, high5);
            let g6 = vec3<f32>(subgroupBroadcast(own, 6u));
            low6 = fma(g6, x0, low6);
            high6 = fma(g6, x1, high6);
            let g7 = vec3<f32>(subgroupBroadcast(own, 7u));
            low7 = fma(g7, x0, low7);
            high7 = fma(g7, x1, high7);
        }
    }

    let result = params.offsets.z + (split * params.groups + of_group) * params.rows * columns;
    store_row(result, first_row + 0u, column, low0, high0);
    store_row(result, first_row + 1u, column, low1, high1);
    store_row(result, first_row + 2u, column, low2, high2);
    store_row(result, first_row + 3u, column, low3, high3);
    store_row(result, first_row + 4u, column, low4, high4);
    store_row(result, first_row + 5u, column, low5, high5);
    store_row(result, first_row + 6u, column, low6, high6);
    store_row(result, first_row + 7u, column, low7, high7);
}
