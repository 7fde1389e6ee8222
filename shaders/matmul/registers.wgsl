// C = A·B + bias without workgroup memory: every thread makes a block of 4 rows and 8 columns in registers. A workgroup
// is 8 threads along the columns, so that a subgroup of eight reads neighbours, and 4 along the rows: 16×64 elements. How
// numbers are read and written is in `common/matmul` or `common/matmul_half`.
#import common/index

const ROWS: u32 = 16u;
const COLUMNS: u32 = 64u;

// A thread's columns: PAIR neighbours, then those as far on as the workgroup's threads reach.
const C1: u32 = 1u % PAIR + 8u * PAIR * (1u / PAIR);
const C2: u32 = 2u % PAIR + 8u * PAIR * (2u / PAIR);
const C3: u32 = 3u % PAIR + 8u * PAIR * (3u / PAIR);
const C4: u32 = 4u % PAIR + 8u * PAIR * (4u / PAIR);
const C5: u32 = 5u % PAIR + 8u * PAIR * (5u / PAIR);
const C6: u32 = 6u % PAIR + 8u * PAIR * (6u / PAIR);
const C7: u32 = 7u % PAIR + 8u * PAIR * (7u / PAIR);

fn store_row(at: u32, row: u32, column: u32, low: vec4<f32>, high: vec4<f32>) {
    store_two(at, row, column, C1, low.x, low.y);
    store_two(at, row, column + C2, C3 - C2, low.z, low.w);
    store_two(at, row, column + C4, C5 - C4, high.x, high.y);
    store_two(at, row, column + C6, C7 - C6, high.z, high.w);
}

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = tile_at(linear_group(group, groups), ROWS, COLUMNS);
    if !tile.exists {
        return;
    }
    let row = tile.row + local / 8u * 4u;
    let column = tile.column + local % 8u * PAIR;
    let batch_offset = batch_offsets(tile.batch);

    // Rows and columns beyond the edge read the last one; their sums are not stored.
    let last_row = params.m - 1u;
    let last_column = params.n - 1u;
    let a_base = params.offsets.x + batch_offset.x;
    let a0 = a_base + min(row, last_row) * params.a_strides.x;
    let a1 = a_base + min(row + 1u, last_row) * params.a_strides.x;
    let a2 = a_base + min(row + 2u, last_row) * params.a_strides.x;
    let a3 = a_base + min(row + 3u, last_row) * params.a_strides.x;
    let b_base = params.offsets.y + batch_offset.y;
    let b0 = b_base + min(column, last_column) * params.b_strides.y;
    let b1 = b_base + min(column + C1, last_column) * params.b_strides.y;
    let b2 = b_base + min(column + C2, last_column) * params.b_strides.y;
    let b3 = b_base + min(column + C3, last_column) * params.b_strides.y;
    let b4 = b_base + min(column + C4, last_column) * params.b_strides.y;
    let b5 = b_base + min(column + C5, last_column) * params.b_strides.y;
    let b6 = b_base + min(column + C6, last_column) * params.b_strides.y;
    let b7 = b_base + min(column + C7, last_column) * params.b_strides.y;

    var low0 = vec4<f32>();
    var low1 = vec4<f32>();
    var low2 = vec4<f32>();
    var low3 = vec4<f32>();
    var high0 = vec4<f32>();
    var high1 = vec4<f32>();
    var high2 = vec4<f32>();
    var high3 = vec4<f32>();
    for (var l = 0u; l < params.k; l += 1u) {
        let at = l * params.a_strides.y;
        let x = vec4<f32>(read_a(a0 + at), read_a(a1 + at), read_a(a2 + at), read_a(a3 + at));
        let bt = l * params.b_strides.x;
        let low = vec4<f32>(read_b(b0 + bt), read_b(b1 + bt), read_b(b2 + bt), read_b(b3 + bt));
        let high = vec4<f32>(read_b(b4 + bt), read_b(b5 + bt), read_b(b6 + bt), read_b(b7 + bt));
        low0 = fma(vec4<f32>(x.x), low, low0);
        low1 = fma(vec4<f32>(x.y), low, low1);
        low2 = fma(vec4<f32>(x.z), low, low2);
        low3 = fma(vec4<f32>(x.w), low, low3);
        high0 = fma(vec4<f32>(x.x), high, high0);
        high1 = fma(vec4<f32>(x.y), high, high1);
        high2 = fma(vec4<f32>(x.z), high, high2);
        high3 = fma(vec4<f32>(x.w), high, high3);
    }

    let at = params.offsets.w + tile.batch * params.m * params.n;
    store_row(at, row, column, low0, high0);
    store_row(at, row + 1u, column, low1, high1);
    store_row(at, row + 2u, column, low2, high2);
    store_row(at, row + 3u, column, low3, high3);
}
