// C = A·B + bias of f16, by the matrix units of a GPU: every subgroup multiplies square matrices of SIZE rows, with sums in
// f32. A workgroup makes a tile of 4×4 such matrices, four blocks of 2×2; panels of both operands, 32 deep, go through
// workgroup memory and lie there as they do in the operands.
//
// `A_ALONG_K` is 1 when the numbers of a row of A lie side by side, and 0 when those of a column do; `B_ALONG_K` is the
// same for the columns and rows of B. Eight numbers are read at a time.
#import common/index
#import common/matmul_half_store

@group(0) @binding(0) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f16>>;

const KIND: u32 = F16;

const TILE: u32 = 4u * SIZE;
const DEPTH: u32 = 32u;
const BLOCKS: u32 = 4u;

// A line of a panel has eight numbers more than are read, so that neighbouring lines lie in other banks of the memory.
const DEEP_LINE: u32 = DEPTH + 8u;
const WIDE_LINE: u32 = TILE + 8u;
const A_LINE: u32 = A_ALONG_K * DEEP_LINE + (1u - A_ALONG_K) * WIDE_LINE;
const B_LINE: u32 = B_ALONG_K * DEEP_LINE + (1u - B_ALONG_K) * WIDE_LINE;
// The longer of TILE deep lines and DEPTH wide ones.
const PANEL: u32 = TILE * DEPTH + 8u * max(TILE, DEPTH);

// Matrices are read from multiples of 16 bytes: lines and panels are whole eights.
const_assert PANEL % 8u == 0u && A_LINE % 8u == 0u && B_LINE % 8u == 0u;

// That of A, and behind it that of B.
var<workgroup> panels: array<f16, 2u * PANEL>;
// A matrix of each block.
var<workgroup> sums: array<f32, BLOCKS * SIZE * SIZE>;

struct Eight {
    low: vec4<f16>,
    high: vec4<f16>,
}

// Eight numbers of A from this row and column on, or zeros behind its edge.
fn load_a(base: u32, row: u32, k: u32) -> Eight {
    if row >= params.m || k >= params.k {
        return Eight();
    }
    let at = (base + row * params.a_strides.x + k * params.a_strides.y) >> 2u;
    return Eight(a[at], a[at + 1u]);
}

fn load_b(base: u32, k: u32, column: u32) -> Eight {
    if k >= params.k || column >= params.n {
        return Eight();
    }
    let at = (base + k * params.b_strides.x + column * params.b_strides.y) >> 2u;
    return Eight(b[at], b[at + 1u]);
}

fn keep(at: u32, x: Eight) {
    panels[at] = x.low.x;
    panels[at + 1u] = x.low.y;
    panels[at + 2u] = x.low.z;
    panels[at + 3u] = x.low.w;
    panels[at + 4u] = x.high.x;
    panels[at + 5u] = x.high.y;
    panels[at + 6u] = x.high.z;
    panels[at + 7u] = x.high.w;
}

// Brings in the panels of the tile at `row` and `column`, from `depth` on.
fn load_panels(bases: vec2<u32>, row: u32, column: u32, depth: u32, local: u32) {
    const PARTS: u32 = DEPTH / 8u;
    const WIDE_PARTS: u32 = TILE / 8u;
    for (var i = local; i < TILE * PARTS; i += THREADS) {
        if A_ALONG_K == 1u {
            let line = i / PARTS;
            let part = i % PARTS * 8u;
            keep(line * A_LINE + part, load_a(bases.x, row + line, depth + part));
        } else {
            let line = i / WIDE_PARTS;
            let part = i % WIDE_PARTS * 8u;
            keep(line * A_LINE + part, load_a(bases.x, row + part, depth + line));
        }
        if B_ALONG_K == 1u {
            let line = i / PARTS;
            let part = i % PARTS * 8u;
            keep(PANEL + line * B_LINE + part, load_b(bases.y, depth + part, column + line));
        } else {
            let line = i / WIDE_PARTS;
            let part = i % WIDE_PARTS * 8u;
            keep(PANEL + line * B_LINE + part, load_b(bases.y, depth + line, column + part));
        }
    }
}

// Matrix of A whose first element is `row` rows into the panel and `k` columns.
fn matrix_of_a(row: u32, k: u32) -> matrix_a {
    if A_ALONG_K == 1u {
        return coopLoadT<matrix_a>(&panels[row * A_LINE + k], A_LINE);
    }
    return coopLoad<matrix_a>(&panels[k * A_LINE + row], A_LINE);
}

fn matrix_of_b(k: u32, column: u32) -> matrix_b {
    if B_ALONG_K == 1u {
        return coopLoad<matrix_b>(&panels[PANEL + column * B_LINE + k], B_LINE);
    }
    return coopLoadT<matrix_b>(&panels[PANEL + k * B_LINE + column], B_LINE);
}

// Writes what lies in `sums`: the matrix of each block that lies `row` and `column` into it, of `count` blocks from `first`
// on.
fn store_sums(at: u32, row: u32, column: u32, first: u32, count: u32, local: u32) {
    for (var i = 2u * local; i < BLOCKS * SIZE * SIZE; i += 2u * THREADS) {
        let block = i / (SIZE * SIZE);
        let place = i % (SIZE * SIZE);
        if (block + BLOCKS - first) % BLOCKS < count {
            let r = row + block / 2u * 2u * SIZE + place / SIZE;
            let c = column + block % 2u * 2u * SIZE + place % SIZE;
            store_two(at, r, c, 1u, sums[i], sums[i + 1u]);
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) count: u32,
) {
    // A surplus workgroup makes a tile behind all edges, of which nothing is read or written: it may not return, since naga
    // asks for matrices in control flow that it can see to be uniform.
    let tile = tile_at(linear_group(group, groups), TILE, TILE);
    let tile_row = select(params.m, tile.row, tile.exists);
    let tile_column = select(params.n, tile.column, tile.exists);
    let bases = params.offsets.xy + batch_offsets(tile.batch);
    let c_base = params.offsets.w + tile.batch * params.m * params.n;

    // Every subgroup makes a block at a time. Where there are more of them than blocks, the rest do the same once more,
    // and write the same numbers.
    for (var first = 0u; first < BLOCKS; first += count) {
        let block = (first + subgroup) % BLOCKS;
        let block_row = block / 2u * 2u * SIZE;
        let block_column = block % 2u * 2u * SIZE;
        var sum00 = matrix_c();
        var sum01 = matrix_c();
        var sum10 = matrix_c();
        var sum11 = matrix_c();
        for (var depth = 0u; depth < params.k; depth += DEPTH) {
            load_panels(bases, tile_row, tile_column, depth, local);
            workgroupBarrier();
            for (var k = 0u; k < DEPTH; k += SIZE) {
                let a0 = matrix_of_a(block_row, k);
                let a1 = matrix_of_a(block_row + SIZE, k);
                let b0 = matrix_of_b(k, block_column);
                let b1 = matrix_of_b(k, block_column + SIZE);
                sum00 = coopMultiplyAdd(a0, b0, sum00);
                sum01 = coopMultiplyAdd(a0, b1, sum01);
                sum10 = coopMultiplyAdd(a1, b0, sum10);
                sum11 = coopMultiplyAdd(a1, b1, sum11);
            }
            workgroupBarrier();
        }

        let place = block * SIZE * SIZE;
        coopStoreT(sum00, &sums[place], SIZE);
        workgroupBarrier();
        store_sums(c_base, tile_row, tile_column, first, count, local);
        workgroupBarrier();
        coopStoreT(sum01, &sums[place], SIZE);
        workgroupBarrier();
        store_sums(c_base, tile_row, tile_column + SIZE, first, count, local);
        workgroupBarrier();
        coopStoreT(sum10, &sums[place], SIZE);
        workgroupBarrier();
        store_sums(c_base, tile_row + SIZE, tile_column, first, count, local);
        workgroupBarrier();
        coopStoreT(sum11, &sums[place], SIZE);
        workgroupBarrier();
        store_sums(c_base, tile_row + SIZE, tile_column + SIZE, first, count, local);
        workgroupBarrier();
    }
}
