// C = A·B + bias for large matrices on GPUs. A workgroup makes a tile of 128×128 elements, every thread 8×8 of them: for
// each step of k it reads 16 numbers of workgroup memory and adds 64 products. Panels of both operands are 16 deep; half
// of the threads bring in A and half B, a block of 4×4 each, in vectors of four.
//
// `A_ALONG_K` is 1 when the numbers of a row of A lie side by side, and 0 when those of a column do; `B_ALONG_K` is the
// same for the columns and rows of B.
#import common/index
#import common/matmul_params

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

const TILE: u32 = 128u;
const DEPTH: u32 = 16u;
// Vectors in a line of a panel.
const LINE: u32 = 32u;

// Lines of k: four neighbouring rows of A, or four neighbouring columns of B, in a vector.
var<workgroup> a_panel: array<vec4<f32>, 512>;
var<workgroup> b_panel: array<vec4<f32>, 512>;

fn read_a(at: u32, inside: bool) -> vec4<f32> {
    if inside {
        return a[at >> 2u];
    }
    return vec4<f32>();
}

fn read_b(at: u32, inside: bool) -> vec4<f32> {
    if inside {
        return b[at >> 2u];
    }
    return vec4<f32>();
}

// Four steps of k from `k` on, each for four rows of A from `row` on; zeros behind the edges.
fn block_of_a(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    let at = base + row * params.a_strides.x + k * params.a_strides.y;
    let inside = k < params.k;
    if A_ALONG_K == 1u {
        let step = params.a_strides.x;
        return transpose(mat4x4<f32>(
            read_a(at, inside && row < params.m),
            read_a(at + step, inside && row + 1u < params.m),
            read_a(at + 2u * step, inside && row + 2u < params.m),
            read_a(at + 3u * step, inside && row + 3u < params.m),
        ));
    }
    let step = params.a_strides.y;
    let rows = row < params.m;
    return mat4x4<f32>(
        read_a(at, rows && inside),
        read_a(at + step, rows && k + 1u < params.k),
        read_a(at + 2u * step, rows && k + 2u < params.k),
        read_a(at + 3u * step, rows && k + 3u < params.k),
    );
}

// The same for four columns of B; both sizes are multiples of four.
fn block_of_b(base: u32, column: u32, k: u32) -> mat4x4<f32> {
    let at = base + k * params.b_strides.x + column * params.b_strides.y;
    let inside = k < params.k && column < params.n;
    let step = B_ALONG_K * params.b_strides.y + (1u - B_ALONG_K) * params.b_strides.x;
    let block = mat4x4<f32>(
        read_b(at, inside),
        read_b(at + step, inside),
        read_b(at + 2u * step, inside),
        read_b(at + 3u * step, inside),
    );
    if B_ALONG_K == 1u {
        return transpose(block);
    }
    return block;
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
    let bases = params.offsets.xy + batch_offsets(tile.batch);

    // This thread's elements: four rows in the upper half of the tile and four in the lower one, columns alike, so that
    // threads side by side read vectors side by side.
    let block_row = local / 16u;
    let block_column = local % 16u;

    var sum00 = vec4<f32>();
    var sum01 = vec4<f32>();
    var sum10 = vec4<f32>();
    var sum11 = vec4<f32>();
    var sum20 = vec4<f32>();
    var sum21 = vec4<f32>();
    var sum30 = vec4<f32>();
    var sum31 = vec4<f32>();
    var sum40 = vec4<f32>();
    var sum41 = vec4<f32>();
    var sum50 = vec4<f32>();
    var sum51 = vec4<f32>();
    var sum60 = vec4<f32>();
    var sum61 = vec4<f32>();
    var sum70 = vec4<f32>();
    var sum71 = vec4<f32>();
    for (var depth = 0u; depth < params.k; depth += DEPTH) {
        // Which block of a panel this thread brings in: along the side on which the operand's numbers lie.
        let number = local & 127u;
        if local < 128u {
            let place = select(vec2<u32>(number / LINE, number % LINE), vec2<u32>(number % 4u, number / 4u), A_ALONG_K == 1u);
            let block = block_of_a(bases.x, tile.row + 4u * place.y, depth + 4u * place.x);
            let at = 4u * place.x * LINE + place.y;
            a_panel[at] = block[0];
            a_panel[at + LINE] = block[1];
            a_panel[at + 2u * LINE] = block[2];
            a_panel[at + 3u * LINE] = block[3];
        } else {
            let place = select(vec2<u32>(number / LINE, number % LINE), vec2<u32>(number % 4u, number / 4u), B_ALONG_K == 1u);
            let block = block_of_b(bases.y, tile.column + 4u * place.y, depth + 4u * place.x);
            let at = 4u * place.x * LINE + place.y;
            b_panel[at] = block[0];
            b_panel[at + LINE] = block[1];
            b_panel[at + 2u * LINE] = block[2];
            b_panel[at + 3u * LINE] = block[3];
        }
        workgroupBarrier();
        // naga writes loops that compilers do not unroll: four steps by hand.
        for (var l = 0u; l < DEPTH * LINE; l += 4u * LINE) {
            var x = a_panel[l + block_row];
            var z = a_panel[l + 16u + block_row];
            var y0 = b_panel[l + block_column];
            var y1 = b_panel[l + 16u + block_column];
            sum00 = fma(vec4<f32>(x.x), y0, sum00);
            sum01 = fma(vec4<f32>(x.x), y1, sum01);
            sum10 = fma(vec4<f32>(x.y), y0, sum10);
            sum11 = fma(vec4<f32>(x.y), y1, sum11);
            sum20 = fma(vec4<f32>(x.z), y0, sum20);
            sum21 = fma(vec4<f32>(x.z), y1, sum21);
            sum30 = fma(vec4<f32>(x.w), y0, sum30);
            sum31 = fma(vec4<f32>(x.w), y1, sum31);
            sum40 = fma(vec4<f32>(z.x), y0, sum40);
            sum41 = fma(vec4<f32>(z.x), y1, sum41);
            sum50 = fma(vec4<f32>(z.y), y0, sum50);
            sum51 = fma(vec4<f32>(z.y), y1, sum51);
            sum60 = fma(vec4<f32>(z.z), y0, sum60);
            sum61 = fma(vec4<f32>(z.z), y1, sum61);
            sum70 = fma(vec4<f32>(z.w), y0, sum70);
            sum71 = fma(vec4<f32>(z.w), y1, sum71);
            x = a_panel[l + LINE + block_row];
            z = a_panel[l + LINE + 16u + block_row];
            y0 = b_panel[l + LINE + block_column];
            y1 = b_panel[l + LINE + 16u + block_column];
            sum00 = fma(vec4<f32>(x.x), y0, sum00);
            sum01 = fma(vec4<f32>(x.x), y1, sum01);
            sum10 = fma(vec4<f32>(x.y), y0, sum10);
            sum11 = fma(vec4<f32>(x.y), y1, sum11);
            sum20 = fma(vec4<f32>(x.z), y0, sum20);
            sum21 = fma(vec4<f32>(x.z), y1, sum21);
            sum30 = fma(vec4<f32>(x.w), y0, sum30);
            sum31 = fma(vec4<f32>(x.w), y1, sum31);
            sum40 = fma(vec4<f32>(z.x), y0, sum40);
            sum41 = fma(vec4<f32>(z.x), y1, sum41);
            sum50 = fma(vec4<f32>(z.y), y0, sum50);
            sum51 = fma(vec4<f32>(z.y), y1, sum51);
            sum60 = fma(vec4<f32>(z.z), y0, sum60);
            sum61 = fma(vec4<f32>(z.z), y1, sum61);
            sum70 = fma(vec4<f32>(z.w), y0, sum70);
            sum71 = fma(vec4<f32>(z.w), y1, sum71);
            x = a_panel[l + 2u * LINE + block_row];
            z = a_panel[l + 2u * LINE + 16u + block_row];
            y0 = b_panel[l + 2u * LINE + block_column];
            y1 = b_panel[l + 2u * LINE + 16u + block_column];
            sum00 = fma(vec4<f32>(x.x), y0, sum00);
            sum01 = fma(vec4<f32>(x.x), y1, sum01);
            sum10 = fma(vec4<f32>(x.y), y0, sum10);
            sum11 = fma(vec4<f32>(x.y), y1, sum11);
            sum20 = fma(vec4<f32>(x.z), y0, sum20);
            sum21 = fma(vec4<f32>(x.z), y1, sum21);
            sum30 = fma(vec4<f32>(x.w), y0, sum30);
            sum31 = fma(vec4<f32>(x.w), y1, sum31);
            sum40 = fma(vec4<f32>(z.x), y0, sum40);
            sum41 = fma(vec4<f32>(z.x), y1, sum41);
            sum50 = fma(vec4<f32>(z.y), y0, sum50);
            sum51 = fma(vec4<f32>(z.y), y1, sum51);
            sum60 = fma(vec4<f32>(z.z), y0, sum60);
            sum61 = fma(vec4<f32>(z.z), y1, sum61);
            sum70 = fma(vec4<f32>(z.w), y0, sum70);
            sum71 = fma(vec4<f32>(z.w), y1, sum71);
            x = a_panel[l + 3u * LINE + block_row];
            z = a_panel[l + 3u * LINE + 16u + block_row];
            y0 = b_panel[l + 3u * LINE + block_column];
            y1 = b_panel[l + 3u * LINE + 16u + block_column];
            sum00 = fma(vec4<f32>(x.x), y0, sum00);
            sum01 = fma(vec4<f32>(x.x), y1, sum01);
            sum10 = fma(vec4<f32>(x.y), y0, sum10);
            sum11 = fma(vec4<f32>(x.y), y1, sum11);
            sum20 = fma(vec4<f32>(x.z), y0, sum20);
            sum21 = fma(vec4<f32>(x.z), y1, sum21);
            sum30 = fma(vec4<f32>(x.w), y0, sum30);
            sum31 = fma(vec4<f32>(x.w), y1, sum31);
            sum40 = fma(vec4<f32>(z.x), y0, sum40);
            sum41 = fma(vec4<f32>(z.x), y1, sum41);
            sum50 = fma(vec4<f32>(z.y), y0, sum50);
            sum51 = fma(vec4<f32>(z.y), y1, sum51);
            sum60 = fma(vec4<f32>(z.z), y0, sum60);
            sum61 = fma(vec4<f32>(z.z), y1, sum61);
            sum70 = fma(vec4<f32>(z.w), y0, sum70);
            sum71 = fma(vec4<f32>(z.w), y1, sum71);
        }
        workgroupBarrier();
    }

    let at = params.offsets.w + tile.batch * params.m * params.n;
    let row = tile.row + 4u * block_row;
    let column = tile.column + 4u * block_column;
    store_row(at, row, column, sum00, sum01);
    store_row(at, row + 1u, column, sum10, sum11);
    store_row(at, row + 2u, column, sum20, sum21);
    store_row(at, row + 3u, column, sum30, sum31);
    store_row(at, row + 64u, column, sum40, sum41);
    store_row(at, row + 65u, column, sum50, sum51);
    store_row(at, row + 66u, column, sum60, sum61);
    store_row(at, row + 67u, column, sum70, sum71);
}

// Two vectors of a row, the second one 64 columns behind the first.
fn store_row(at: u32, row: u32, column: u32, first: vec4<f32>, second: vec4<f32>) {
    if row < params.m {
        store_four(at, row, column, first);
        store_four(at, row, column + 64u, second);
    }
}

fn store_four(at: u32, row: u32, column: u32, sums: vec4<f32>) {
    if column < params.n {
        var value = sums;
        if params.has_bias != 0u {
            value += bias[(params.offsets.z + column) >> 2u];
        }
        c[(at + row * params.n + column) >> 2u] = value;
    }
}
