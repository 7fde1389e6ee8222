// C = A·B + bias for software drivers with subgroups of at least eight. A workgroup is eight threads of one subgroup and
// makes 8 rows of 32 columns: every thread loads one column of A for eight steps of k and the subgroup spreads it, so that
// a load serves eight threads. Unrolled by hand, since naga writes loops that compilers do not unroll.
#import common/index
#import common/matmul

const ROWS: u32 = 8u;
const COLUMNS: u32 = 32u;

fn store_row(at: u32, row: u32, column: u32, sums: vec4<f32>) {
    store(at, row, column, sums.x);
    store(at, row, column + 8u, sums.y);
    store(at, row, column + 16u, sums.z);
    store(at, row, column + 24u, sums.w);
}

// Four columns of a row of B. Columns beyond the edge read the last one; their sums are not stored.
fn load_b(at: u32, columns: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(b[at + columns.x], b[at + columns.y], b[at + columns.z], b[at + columns.w]);
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

    let last_row = params.m - 1u;
    let a_base = params.offsets.x + batch_offset.x;
    let last_column = vec4<u32>(params.n - 1u);
    let columns = min(vec4<u32>(column, column + 8u, column + 16u, column + 24u), last_column) * params.b_strides.y;
    let b_base = params.offsets.y + batch_offset.y;

    let a0 = a_base + min(row + 0u, last_row) * params.a_strides.x;
    let a1 = a_base + min(row + 1u, last_row) * params.a_strides.x;
    let a2 = a_base + min(row + 2u, last_row) * params.a_strides.x;
    let a3 = a_base + min(row + 3u, last_row) * params.a_strides.x;
    let a4 = a_base + min(row + 4u, last_row) * params.a_strides.x;
    let a5 = a_base + min(row + 5u, last_row) * params.a_strides.x;
    let a6 = a_base + min(row + 6u, last_row) * params.a_strides.x;
    let a7 = a_base + min(row + 7u, last_row) * params.a_strides.x;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();

    var l = 0u;
    for (; l + 8u <= params.k; l += 8u) {
        let at = (l + lane) * params.a_strides.y;
        let x0 = a[a0 + at];
        let x1 = a[a1 + at];
        let x2 = a[a2 + at];
        let x3 = a[a3 + at];
        let x4 = a[a4 + at];
        let x5 = a[a5 + at];
        let x6 = a[a6 + at];
        let x7 = a[a7 + at];
        let y0 = load_b(b_base + (l + 0u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 0u)), y0, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 0u)), y0, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 0u)), y0, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 0u)), y0, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 0u)), y0, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 0u)), y0, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 0u)), y0, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 0u)), y0, sum7);
        let y1 = load_b(b_base + (l + 1u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 1u)), y1, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 1u)), y1, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 1u)), y1, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 1u)), y1, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 1u)), y1, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 1u)), y1, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 1u)), y1, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 1u)), y1, sum7);
        let y2 = load_b(b_base + (l + 2u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 2u)), y2, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 2u)), y2, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 2u)), y2, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 2u)), y2, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 2u)), y2, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 2u)), y2, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 2u)), y2, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 2u)), y2, sum7);
        let y3 = load_b(b_base + (l + 3u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 3u)), y3, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 3u)), y3, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 3u)), y3, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 3u)), y3, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 3u)), y3, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 3u)), y3, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 3u)), y3, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 3u)), y3, sum7);
        let y4 = load_b(b_base + (l + 4u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 4u)), y4, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 4u)), y4, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 4u)), y4, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 4u)), y4, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 4u)), y4, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 4u)), y4, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 4u)), y4, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 4u)), y4, sum7);
        let y5 = load_b(b_base + (l + 5u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 5u)), y5, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 5u)), y5, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 5u)), y5, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 5u)), y5, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 5u)), y5, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 5u)), y5, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 5u)), y5, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 5u)), y5, sum7);
        let y6 = load_b(b_base + (l + 6u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 6u)), y6, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 6u)), y6, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 6u)), y6, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 6u)), y6, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 6u)), y6, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 6u)), y6, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 6u)), y6, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 6u)), y6, sum7);
        let y7 = load_b(b_base + (l + 7u) * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 7u)), y7, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 7u)), y7, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 7u)), y7, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 7u)), y7, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 7u)), y7, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 7u)), y7, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 7u)), y7, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 7u)), y7, sum7);
    }
    for (; l < params.k; l += 1u) {
        let at = l * params.a_strides.y;
        let y = load_b(b_base + l * params.b_strides.x, columns);
        sum0 = fma(vec4<f32>(a[a0 + at]), y, sum0);
        sum1 = fma(vec4<f32>(a[a1 + at]), y, sum1);
        sum2 = fma(vec4<f32>(a[a2 + at]), y, sum2);
        sum3 = fma(vec4<f32>(a[a3 + at]), y, sum3);
        sum4 = fma(vec4<f32>(a[a4 + at]), y, sum4);
        sum5 = fma(vec4<f32>(a[a5 + at]), y, sum5);
        sum6 = fma(vec4<f32>(a[a6 + at]), y, sum6);
        sum7 = fma(vec4<f32>(a[a7 + at]), y, sum7);
    }

    let at = params.offsets.w + tile.batch * params.m * params.n;
    store_row(at, row + 0u, column, sum0);
    store_row(at, row + 1u, column, sum1);
    store_row(at, row + 2u, column, sum2);
    store_row(at, row + 3u, column, sum3);
    store_row(at, row + 4u, column, sum4);
    store_row(at, row + 5u, column, sum5);
    store_row(at, row + 6u, column, sum6);
    store_row(at, row + 7u, column, sum7);
}
