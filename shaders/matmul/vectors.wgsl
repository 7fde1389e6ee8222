// C = A·B + bias for software drivers with subgroups of eight, where every operand is read in vectors of four: there a
// load costs much the same for four numbers as for one. A workgroup is eight threads of one subgroup and makes 16 rows
// of 32 columns, four of each row in a thread; what a thread reads of A, the subgroup spreads.
//
// `A_ALONG_K` is 1 when the numbers of a row of A lie side by side, and 0 when those of a column do; `B_ALONG_K` is the
// same for the columns and rows of B.
#import common/index
#import common/matmul_params

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

const ROWS: u32 = 16u;
const COLUMNS: u32 = 32u;

// The vector of A that this thread reads of eight rows, four steps of k at a time: a row of it, or a column of its upper
// or lower half.
fn first_of_a(offset: u32, row: u32, lane: u32) -> u32 {
    if A_ALONG_K == 1u {
        return (offset + min(row + lane, params.m - 1u) * params.a_strides.x) >> 2u;
    }
    return (offset + (lane & 3u) * params.a_strides.y + min(row + (lane & 4u), params.m - 4u)) >> 2u;
}

// Four columns of B for four steps of k from `l`.
fn load_b(first: vec4<u32>, l: u32, step: u32) -> mat4x4<f32> {
    if B_ALONG_K == 1u {
        let at = first + vec4<u32>(l >> 2u);
        return transpose(mat4x4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]));
    }
    let at = first.x + l * step;
    return mat4x4<f32>(b[at], b[at + step], b[at + 2u * step], b[at + 3u * step]);
}

// Row `row` of the eight whose A is in x, at step `k` of four: from the thread that has read it.
fn spread(x: vec4<f32>, row: u32, k: u32) -> vec4<f32> {
    if A_ALONG_K == 1u {
        return vec4<f32>(subgroupShuffle(x[k], row));
    }
    return vec4<f32>(subgroupShuffle(x[row & 3u], (row & 4u) + k));
}

// Four steps of k of one row.
fn add(sum: vec4<f32>, x: vec4<f32>, row: u32, y: mat4x4<f32>) -> vec4<f32> {
    let first = fma(spread(x, row, 1u), y[1], fma(spread(x, row, 0u), y[0], sum));
    return fma(spread(x, row, 3u), y[3], fma(spread(x, row, 2u), y[2], first));
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
    let column = tile.column + 4u * lane;
    let batch_offset = batch_offsets(tile.batch);

    let a_offset = params.offsets.x + batch_offset.x;
    let a0 = first_of_a(a_offset, row, lane);
    let a1 = first_of_a(a_offset, row + 8u, lane);
    let a_step = select(params.a_strides.y, 1u, A_ALONG_K == 1u);

    // Columns beyond the edge read the last ones; their sums are not stored.
    let columns = vec4<u32>(min(column, params.n - 4u)) + vec4<u32>(0u, 1u, 2u, 3u);
    let b_first = (params.offsets.y + batch_offset.y + columns * params.b_strides.y) >> vec4<u32>(2u);

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();
    var sum8 = vec4<f32>();
    var sum9 = vec4<f32>();
    var sum10 = vec4<f32>();
    var sum11 = vec4<f32>();
    var sum12 = vec4<f32>();
    var sum13 = vec4<f32>();
    var sum14 = vec4<f32>();
    var sum15 = vec4<f32>();
    // Read once: in the loop each would be a load.
    let k = params.k;
    let b_step = params.b_strides.x >> 2u;
    for (var l = 0u; l < k; l += 4u) {
        let y = load_b(b_first, l, b_step);
        let at = (l * a_step) >> 2u;
        let x0 = a[a0 + at];
        sum0 = add(sum0, x0, 0u, y);
        sum1 = add(sum1, x0, 1u, y);
        sum2 = add(sum2, x0, 2u, y);
        sum3 = add(sum3, x0, 3u, y);
        sum4 = add(sum4, x0, 4u, y);
        sum5 = add(sum5, x0, 5u, y);
        sum6 = add(sum6, x0, 6u, y);
        sum7 = add(sum7, x0, 7u, y);
        let x1 = a[a1 + at];
        sum8 = add(sum8, x1, 0u, y);
        sum9 = add(sum9, x1, 1u, y);
        sum10 = add(sum10, x1, 2u, y);
        sum11 = add(sum11, x1, 3u, y);
        sum12 = add(sum12, x1, 4u, y);
        sum13 = add(sum13, x1, 5u, y);
        sum14 = add(sum14, x1, 6u, y);
        sum15 = add(sum15, x1, 7u, y);
    }

    if column >= params.n {
        return;
    }
    var more = vec4<f32>();
    if params.has_bias != 0u {
        more = bias[(params.offsets.z + column) >> 2u];
    }
    // Rows beyond the edge are the last row once more.
    let first = params.offsets.w + tile.batch * params.m * params.n + column;
    store_row(first, row, sum0 + more);
    store_row(first, row + 1u, sum1 + more);
    store_row(first, row + 2u, sum2 + more);
    store_row(first, row + 3u, sum3 + more);
    store_row(first, row + 4u, sum4 + more);
    store_row(first, row + 5u, sum5 + more);
    store_row(first, row + 6u, sum6 + more);
    store_row(first, row + 7u, sum7 + more);
    store_row(first, row + 8u, sum8 + more);
    store_row(first, row + 9u, sum9 + more);
    store_row(first, row + 10u, sum10 + more);
    store_row(first, row + 11u, sum11 + more);
    store_row(first, row + 12u, sum12 + more);
    store_row(first, row + 13u, sum13 + more);
    store_row(first, row + 14u, sum14 + more);
    store_row(first, row + 15u, sum15 + more);
}

fn store_row(first: u32, row: u32, sums: vec4<f32>) {
    c[(first + min(row, params.m - 1u) * params.n) >> 2u] = sums;
}
