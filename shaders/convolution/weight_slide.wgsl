// The gradient of a convolution's weight where neighbouring places read neighbouring elements of x, for software drivers
// with subgroups of at least eight. A workgroup is eight threads of one subgroup and makes 8 channels of g times 16 blocks
// of three neighbouring taps. Along a line of g every element of x serves the three taps one after the other, and every
// thread loads one channel of g, which the subgroup spreads. Unrolled by hand.
#import common/index
#import common/convolution_weight

const ROWS: u32 = 8u;
const BLOCKS: u32 = 16u;

// Three taps of the kernel: where they read x, relative to a place of g.
struct Block {
    // first element in x, without image, line and column
    at: u32,
    line: u32,
    column: u32,
    // where its weights are in a row of the result, and how many there are
    first: u32,
    taps: u32,
}

// Block `number` of a group; of one that does not exist nothing is stored.
fn block_at(number: u32, of_group: u32) -> Block {
    let in_line = (params.taps.y + 2u) / 3u;
    let s = number % in_line * 3u;
    let r = number / in_line % params.taps.x;
    let c = min(number / in_line / params.taps.x, params.channels - 1u);
    let exists = number < in_line * params.taps.x * params.channels;
    return Block(
        params.offsets.y + (of_group * params.channels + c) * params.x_strides.y,
        r * u32(params.dilation.x) + u32(params.origin.x),
        s + u32(params.origin.y),
        (c * params.taps.x + r) * params.taps.y + s,
        select(0u, min(params.taps.y - s, 3u), exists),
    );
}

fn load(start: u32, column: u32, inside: bool) -> f32 {
    let exists = inside && column < params.in_size.y;
    return select(0.0, read_x(select(0u, start + column * params.x_strides.w, exists)), exists);
}

fn store_row(at: u32, row: u32, taps: u32, sums: vec3<f32>) {
    if row < params.rows {
        let start = at + row * params.channels * params.taps.x * params.taps.y;
        if taps > 0u { y[start] = sums.x; }
        if taps > 1u { y[start + 1u] = sums.y; }
        if taps > 2u { y[start + 2u] = sums.z; }
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let blocks = (params.taps.y + 2u) / 3u * params.taps.x * params.channels;
    let block_tiles = (blocks + BLOCKS - 1u) / BLOCKS;
    let row_tiles = (params.rows + ROWS - 1u) / ROWS;
    let number = linear_group(group, groups);
    let split = number / (block_tiles * row_tiles * params.groups);
    // The same for the whole workgroup, so the subgroup stays together.
    if split >= params.splits {
        return;
    }
    let first_block = number % block_tiles * BLOCKS;
    let first_row = number / block_tiles % row_tiles * ROWS;
    let of_group = number / block_tiles / row_tiles % params.groups;
    let block0 = block_at(first_block + 0u + lane, of_group);
    let block1 = block_at(first_block + 8u + lane, of_group);
    // This thread's channel of g.
    let row = min(first_row + lane, params.rows - 1u);
    let g_at = params.offsets.x + (of_group * params.rows + row) * params.g_strides.y;

    var sum00 = vec3<f32>();
    var sum01 = vec3<f32>();
    var sum02 = vec3<f32>();
    var sum03 = vec3<f32>();
    var sum04 = vec3<f32>();
    var sum05 = vec3<f32>();
    var sum06 = vec3<f32>();
    var sum07 = vec3<f32>();
    var sum10 = vec3<f32>();
    var sum11 = vec3<f32>();
    var sum12 = vec3<f32>();
    var sum13 = vec3<f32>();
    var sum14 = vec3<f32>();
    var sum15 = vec3<f32>();
    var sum16 = vec3<f32>();
    var sum17 = vec3<f32>();
    let places = places_of(split);
    var place = places.x;
    while place < places.y {
        // The rest of a line, or of the part.
        let at = place_at(place);
        let count = min(params.out_size.y - at.z, places.y - place);
        place += count;
        var from_g = g_at + at.x * params.g_strides.x + at.y * params.g_strides.z + at.z * params.g_strides.w;
        let line = at.y * params.stride.x;
        let inside0 = line + block0.line < params.in_size.x;
        let from0 = block0.at + at.x * params.x_strides.x + (line + block0.line) * params.x_strides.z;
        var v0 = at.z + block0.column;
        var x0 = vec3<f32>(0.0, load(from0, v0, inside0), load(from0, v0 + 1u, inside0));
        let inside1 = line + block1.line < params.in_size.x;
        let from1 = block1.at + at.x * params.x_strides.x + (line + block1.line) * params.x_strides.z;
        var v1 = at.z + block1.column;
        var x1 = vec3<f32>(0.0, load(from1, v1, inside1), load(from1, v1 + 1u, inside1));
        for (var i = 0u; i < count; i += 1u) {
            let own = read_g(from_g);
            from_g += params.g_strides.w;
            x0 = vec3<f32>(x0.yz, load(from0, v0 + 2u, inside0));
            v0 += 1u;
            x1 = vec3<f32>(x1.yz, load(from1, v1 + 2u, inside1));
            v1 += 1u;
            let g0 = vec3<f32>(subgroupBroadcast(own, 0u));
            sum00 = fma(g0, x0, sum00);
            sum10 = fma(g0, x1, sum10);
            let g1 = vec3<f32>(subgroupBroadcast(own, 1u));
            sum01 = fma(g1, x0, sum01);
            sum11 = fma(g1, x1, sum11);
            let g2 = vec3<f32>(subgroupBroadcast(own, 2u));
            sum02 = fma(g2, x0, sum02);
            sum12 = fma(g2, x1, sum12);
            let g3 = vec3<f32>(subgroupBroadcast(own, 3u));
            sum03 = fma(g3, x0, sum03);
            sum13 = fma(g3, x1, sum13);
            let g4 = vec3<f32>(subgroupBroadcast(own, 4u));
            sum04 = fma(g4, x0, sum04);
            sum14 = fma(g4, x1, sum14);
            let g5 = vec3<f32>(subgroupBroadcast(own, 5u));
            sum05 = fma(g5, x0, sum05);
            sum15 = fma(g5, x1, sum15);
            let g6 = vec3<f32>(subgroupBroadcast(own, 6u));
            sum06 = fma(g6, x0, sum06);
            sum16 = fma(g6, x1, sum16);
            let g7 = vec3<f32>(subgroupBroadcast(own, 7u));
            sum07 = fma(g7, x0, sum07);
            sum17 = fma(g7, x1, sum17);
        }
    }

    let result = params.offsets.z
        + (split * params.groups + of_group) * params.rows * params.channels * params.taps.x * params.taps.y;
    store_row(result + block0.first, first_row + 0u, block0.taps, sum00);
    store_row(result + block0.first, first_row + 1u, block0.taps, sum01);
    store_row(result + block0.first, first_row + 2u, block0.taps, sum02);
    store_row(result + block0.first, first_row + 3u, block0.taps, sum03);
    store_row(result + block0.first, first_row + 4u, block0.taps, sum04);
    store_row(result + block0.first, first_row + 5u, block0.taps, sum05);
    store_row(result + block0.first, first_row + 6u, block0.taps, sum06);
    store_row(result + block0.first, first_row + 7u, block0.taps, sum07);
    store_row(result + block1.first, first_row + 0u, block1.taps, sum10);
    store_row(result + block1.first, first_row + 1u, block1.taps, sum11);
    store_row(result + block1.first, first_row + 2u, block1.taps, sum12);
    store_row(result + block1.first, first_row + 3u, block1.taps, sum13);
    store_row(result + block1.first, first_row + 4u, block1.taps, sum14);
    store_row(result + block1.first, first_row + 5u, block1.taps, sum15);
    store_row(result + block1.first, first_row + 6u, block1.taps, sum16);
    store_row(result + block1.first, first_row + 7u, block1.taps, sum17);
}
