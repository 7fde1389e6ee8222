// C = A·B + bias for software drivers with subgroups of at least eight, whatever lies where. A workgroup is eight threads
// of one subgroup and makes 8 rows of 16 columns: every thread loads one column of A for eight steps of k and the
// subgroup spreads it, so that a load serves eight threads.
#import common/index
#import common/matmul

const ROWS: u32 = 8u;
const COLUMNS: u32 = 16u;

// Two columns of B for eight steps of k.
struct Lines {
    y0: vec2<f32>,
    y1: vec2<f32>,
    y2: vec2<f32>,
    y3: vec2<f32>,
    y4: vec2<f32>,
    y5: vec2<f32>,
    y6: vec2<f32>,
    y7: vec2<f32>,
}

fn load_b(columns: vec2<u32>, l: u32) -> vec2<f32> {
    let at = columns + l * params.b_strides.x;
    return vec2<f32>(b[at.x], b[at.y]);
}

// Eight steps of k of a row, whose A each thread has one of.
fn add(start: vec2<f32>, x: f32, lines: Lines) -> vec2<f32> {
    var sum = start;
    sum = fma(vec2<f32>(subgroupShuffle(x, 0u)), lines.y0, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 1u)), lines.y1, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 2u)), lines.y2, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 3u)), lines.y3, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 4u)), lines.y4, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 5u)), lines.y5, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 6u)), lines.y6, sum);
    sum = fma(vec2<f32>(subgroupShuffle(x, 7u)), lines.y7, sum);
    return sum;
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // The same for the whole workgroup, so the subgroup stays together.
    let tile = tile_at(linear_group(group, groups), ROWS, COLUMNS);
    if !tile.exists {
        return;
    }
    let row = tile.row;
    let column = tile.column + lane;
    let batch_offset = batch_offsets(tile.batch);

    // Rows and columns beyond the edge read the last ones.
    let last_row = params.m - 1u;
    let a_base = params.offsets.x + batch_offset.x;
    let a0 = a_base + min(row + 0u, last_row) * params.a_strides.x;
    let a1 = a_base + min(row + 1u, last_row) * params.a_strides.x;
    let a2 = a_base + min(row + 2u, last_row) * params.a_strides.x;
    let a3 = a_base + min(row + 3u, last_row) * params.a_strides.x;
    let a4 = a_base + min(row + 4u, last_row) * params.a_strides.x;
    let a5 = a_base + min(row + 5u, last_row) * params.a_strides.x;
    let a6 = a_base + min(row + 6u, last_row) * params.a_strides.x;
    let a7 = a_base + min(row + 7u, last_row) * params.a_strides.x;
    let columns = params.offsets.y + batch_offset.y
        + min(vec2<u32>(column, column + 8u), vec2<u32>(params.n - 1u)) * params.b_strides.y;
    var sum0 = vec2<f32>();
    var sum1 = vec2<f32>();
    var sum2 = vec2<f32>();
    var sum3 = vec2<f32>();
    var sum4 = vec2<f32>();
    var sum5 = vec2<f32>();
    var sum6 = vec2<f32>();
    var sum7 = vec2<f32>();

    var l = 0u;
    for (; l + 8u <= params.k; l += 8u) {
        let lines = Lines(
            load_b(columns, l),
            load_b(columns, l + 1u),
            load_b(columns, l + 2u),
            load_b(columns, l + 3u),
            load_b(columns, l + 4u),
            load_b(columns, l + 5u),
            load_b(columns, l + 6u),
            load_b(columns, l + 7u),
        );
        let at = (l + lane) * params.a_strides.y;
        sum0 = add(sum0, a[a0 + at], lines);
        sum1 = add(sum1, a[a1 + at], lines);
        sum2 = add(sum2, a[a2 + at], lines);
        sum3 = add(sum3, a[a3 + at], lines);
        sum4 = add(sum4, a[a4 + at], lines);
        sum5 = add(sum5, a[a5 + at], lines);
        sum6 = add(sum6, a[a6 + at], lines);
        sum7 = add(sum7, a[a7 + at], lines);
    }
    for (; l < params.k; l += 1u) {
        let at = l * params.a_strides.y;
        let y = load_b(columns, l);
        sum0 = fma(vec2<f32>(a[a0 + at]), y, sum0);
        sum1 = fma(vec2<f32>(a[a1 + at]), y, sum1);
        sum2 = fma(vec2<f32>(a[a2 + at]), y, sum2);
        sum3 = fma(vec2<f32>(a[a3 + at]), y, sum3);
        sum4 = fma(vec2<f32>(a[a4 + at]), y, sum4);
        sum5 = fma(vec2<f32>(a[a5 + at]), y, sum5);
        sum6 = fma(vec2<f32>(a[a6 + at]), y, sum6);
        sum7 = fma(vec2<f32>(a[a7 + at]), y, sum7);
    }

    let first = params.offsets.w + tile.batch * params.m * params.n;
    let upper = vec4<f32>(sum0.x, sum1.x, sum2.x, sum3.x);
    store_column(first, row, column, upper, vec4<f32>(sum4.x, sum5.x, sum6.x, sum7.x));
    let upper_right = vec4<f32>(sum0.y, sum1.y, sum2.y, sum3.y);
    store_column(first, row, column + 8u, upper_right, vec4<f32>(sum4.y, sum5.y, sum6.y, sum7.y));
}

// Eight rows of a column, unless it lies beyond the edge; rows beyond it are the last row once more.
fn store_column(first: u32, row: u32, column: u32, upper: vec4<f32>, lower: vec4<f32>) {
    if column >= params.n {
        return;
    }
    var more = 0.0;
    if params.has_bias != 0u {
        more = bias[params.offsets.z + column];
    }
    let at = first + column;
    c[at + min(row + 0u, params.m - 1u) * params.n] = upper.x + more;
    c[at + min(row + 1u, params.m - 1u) * params.n] = upper.y + more;
    c[at + min(row + 2u, params.m - 1u) * params.n] = upper.z + more;
    c[at + min(row + 3u, params.m - 1u) * params.n] = upper.w + more;
    c[at + min(row + 4u, params.m - 1u) * params.n] = lower.x + more;
    c[at + min(row + 5u, params.m - 1u) * params.n] = lower.y + more;
    c[at + min(row + 6u, params.m - 1u) * params.n] = lower.z + more;
    c[at + min(row + 7u, params.m - 1u) * params.n] = lower.w + more;
}
