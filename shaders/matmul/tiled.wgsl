// C = A·B + bias. Every workgroup makes a tile of 64×64 elements, every thread a block of 4×4 of it; panels of both
// operands, 16 deep, go through workgroup memory. Operands have any strides. How numbers are read and written is in
// `common/matmul` or `common/matmul_half`.
#import common/index

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

// Panels as they are read in the inner loop: four neighbouring rows of A, four neighbouring columns of B.
var<workgroup> a_panel: array<vec4<f32>, 256>;
var<workgroup> b_panel: array<vec4<f32>, 256>;

fn load_a(base: u32, row: u32, column: u32) -> f32 {
    if row >= params.m || column >= params.k {
        return 0.0;
    }
    return read_a(base + row * params.a_strides.x + column * params.a_strides.y);
}

fn load_b(base: u32, row: u32, column: u32) -> f32 {
    if row >= params.k || column >= params.n {
        return 0.0;
    }
    return read_b(base + row * params.b_strides.x + column * params.b_strides.y);
}

fn store_four(at: u32, row: u32, column: u32, sums: vec4<f32>) {
    store_two(at, row, column, 1u, sums.x, sums.y);
    store_two(at, row, column + 2u, 1u, sums.z, sums.w);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    let tile = tile_at(linear_group(group, groups), TILE, TILE);
    if !tile.exists {
        return;
    }
    let first_row = tile.row;
    let first_column = tile.column;
    let batch_offset = batch_offsets(tile.batch);
    let a_base = params.offsets.x + batch_offset.x;
    let b_base = params.offsets.y + batch_offset.y;

    // This thread's block, and which four elements of each panel it brings in.
    let block_row = local / 16u;
    let block_column = local % 16u;
    let load_line = local / 16u;
    let load_place = local % 16u;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var depth = 0u; depth < params.k; depth += DEPTH) {
        let row = first_row + 4u * load_place;
        let column = first_column + 4u * load_place;
        let l = depth + load_line;
        a_panel[load_line * 16u + load_place] = vec4<f32>(
            load_a(a_base, row, l),
            load_a(a_base, row + 1u, l),
            load_a(a_base, row + 2u, l),
            load_a(a_base, row + 3u, l),
        );
        b_panel[load_line * 16u + load_place] = vec4<f32>(
            load_b(b_base, l, column),
            load_b(b_base, l, column + 1u),
            load_b(b_base, l, column + 2u),
            load_b(b_base, l, column + 3u),
        );
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i += 4u) {
            // naga writes loops that compilers do not unroll: four steps by hand.
            var x = a_panel[i * 16u + block_row];
            var y = b_panel[i * 16u + block_column];
            sum0 += x.x * y;
            sum1 += x.y * y;
            sum2 += x.z * y;
            sum3 += x.w * y;
            x = a_panel[(i + 1u) * 16u + block_row];
            y = b_panel[(i + 1u) * 16u + block_column];
            sum0 += x.x * y;
            sum1 += x.y * y;
            sum2 += x.z * y;
            sum3 += x.w * y;
            x = a_panel[(i + 2u) * 16u + block_row];
            y = b_panel[(i + 2u) * 16u + block_column];
            sum0 += x.x * y;
            sum1 += x.y * y;
            sum2 += x.z * y;
            sum3 += x.w * y;
            x = a_panel[(i + 3u) * 16u + block_row];
            y = b_panel[(i + 3u) * 16u + block_column];
            sum0 += x.x * y;
            sum1 += x.y * y;
            sum2 += x.z * y;
            sum3 += x.w * y;
        }
        workgroupBarrier();
    }

    let c_base = params.offsets.w + tile.batch * params.m * params.n;
    let row = first_row + 4u * block_row;
    let column = first_column + 4u * block_column;
    store_four(c_base, row, column, sum0);
    store_four(c_base, row + 1u, column, sum1);
    store_four(c_base, row + 2u, column, sum2);
    store_four(c_base, row + 3u, column, sum3);
}
