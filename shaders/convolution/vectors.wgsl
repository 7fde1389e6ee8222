// A 3×3 convolution of images and weights in whole vectors (`pack.wgsl`), for software drivers with subgroups of at least
// eight: there a load costs much the same for four numbers as for one. A workgroup is eight threads of one subgroup and makes
// 16 channels of eight blocks of 2 lines by four places. Every thread loads some of the weights, and the subgroup spreads
// them. Unrolled by hand.
#import common/index
#import common/convolution_vectors

const ROWS: u32 = 16u;
const LINES: u32 = 2u;

// Four places of a line of x, from its columns 0, 1 and 2 on.
fn line_at(at: u32) -> mat3x4<f32> {
    let here = x[at];
    let next = x[at + 1u];
    return mat3x4<f32>(here, vec4<f32>(here.yzw, next.x), vec4<f32>(here.zw, next.xy));
}

// The weights of channel `row` of the tile, from the threads that have read them.
fn spread(weights: array<vec4<f32>, 5>, row: u32) -> mat3x3<f32> {
    let lane = row >> 2u;
    let k = row & 3u;
    return mat3x3<f32>(
        subgroupShuffle(weights[0][k], lane),
        subgroupShuffle(weights[0][k], lane + 4u),
        subgroupShuffle(weights[1][k], lane),
        subgroupShuffle(weights[1][k], lane + 4u),
        subgroupShuffle(weights[2][k], lane),
        subgroupShuffle(weights[2][k], lane + 4u),
        subgroupShuffle(weights[3][k], lane),
        subgroupShuffle(weights[3][k], lane + 4u),
        subgroupShuffle(weights[4][k], lane),
    );
}

fn add_line(sum: vec4<f32>, x: mat3x4<f32>, w: vec3<f32>) -> vec4<f32> {
    return fma(x[2], vec4<f32>(w.z), fma(x[1], vec4<f32>(w.y), fma(x[0], vec4<f32>(w.x), sum)));
}

fn add(sum: vec4<f32>, x0: mat3x4<f32>, x1: mat3x4<f32>, x2: mat3x4<f32>, w: mat3x3<f32>) -> vec4<f32> {
    return add_line(add_line(add_line(sum, x0, w[0]), x1, w[1]), x2, w[2]);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_at(linear_group(group, groups), ROWS, LINES, lane);
    // The same for the whole workgroup, so the subgroup stays together.
    if !tile.exists {
        return;
    }
    let x_line = params.x_strides.z >> 2u;
    var x_at = (params.offsets.x + tile.image * params.x_strides.x + tile.line * params.x_strides.z + tile.column) >> 2u;
    // Threads 0 to 3 load 16 weights of every second tap, 4 to 7 those of the others.
    let w_row = min(tile.row + 4u * (lane & 3u), params.rows - 4u);
    let w_tap = u32(params.w_strides.w);
    var w_at = params.offsets.y + w_row + (lane >> 2u) * w_tap;
    // The last tap has no other.
    let w_last = params.offsets.y + w_row + 8u * w_tap - w_at;

    var sum0_0 = vec4<f32>();
    var sum0_1 = vec4<f32>();
    var sum1_0 = vec4<f32>();
    var sum1_1 = vec4<f32>();
    var sum2_0 = vec4<f32>();
    var sum2_1 = vec4<f32>();
    var sum3_0 = vec4<f32>();
    var sum3_1 = vec4<f32>();
    var sum4_0 = vec4<f32>();
    var sum4_1 = vec4<f32>();
    var sum5_0 = vec4<f32>();
    var sum5_1 = vec4<f32>();
    var sum6_0 = vec4<f32>();
    var sum6_1 = vec4<f32>();
    var sum7_0 = vec4<f32>();
    var sum7_1 = vec4<f32>();
    var sum8_0 = vec4<f32>();
    var sum8_1 = vec4<f32>();
    var sum9_0 = vec4<f32>();
    var sum9_1 = vec4<f32>();
    var sum10_0 = vec4<f32>();
    var sum10_1 = vec4<f32>();
    var sum11_0 = vec4<f32>();
    var sum11_1 = vec4<f32>();
    var sum12_0 = vec4<f32>();
    var sum12_1 = vec4<f32>();
    var sum13_0 = vec4<f32>();
    var sum13_1 = vec4<f32>();
    var sum14_0 = vec4<f32>();
    var sum14_1 = vec4<f32>();
    var sum15_0 = vec4<f32>();
    var sum15_1 = vec4<f32>();
    for (var c = 0u; c < params.channels; c += 1u) {
        let weights = array<vec4<f32>, 5>(
            w[w_at >> 2u],
            w[(w_at + 2u * w_tap) >> 2u],
            w[(w_at + 4u * w_tap) >> 2u],
            w[(w_at + 6u * w_tap) >> 2u],
            w[(w_at + w_last) >> 2u],
        );
        let x0 = line_at(x_at);
        let x1 = line_at(x_at + 1u * x_line);
        let x2 = line_at(x_at + 2u * x_line);
        let x3 = line_at(x_at + 3u * x_line);
        let w0 = spread(weights, 0u);
        sum0_0 = add(sum0_0, x0, x1, x2, w0);
        sum0_1 = add(sum0_1, x1, x2, x3, w0);
        let w1 = spread(weights, 1u);
        sum1_0 = add(sum1_0, x0, x1, x2, w1);
        sum1_1 = add(sum1_1, x1, x2, x3, w1);
        let w2 = spread(weights, 2u);
        sum2_0 = add(sum2_0, x0, x1, x2, w2);
        sum2_1 = add(sum2_1, x1, x2, x3, w2);
        let w3 = spread(weights, 3u);
        sum3_0 = add(sum3_0, x0, x1, x2, w3);
        sum3_1 = add(sum3_1, x1, x2, x3, w3);
        let w4 = spread(weights, 4u);
        sum4_0 = add(sum4_0, x0, x1, x2, w4);
        sum4_1 = add(sum4_1, x1, x2, x3, w4);
        let w5 = spread(weights, 5u);
        sum5_0 = add(sum5_0, x0, x1, x2, w5);
        sum5_1 = add(sum5_1, x1, x2, x3, w5);
        let w6 = spread(weights, 6u);
        sum6_0 = add(sum6_0, x0, x1, x2, w6);
        sum6_1 = add(sum6_1, x1, x2, x3, w6);
        let w7 = spread(weights, 7u);
        sum7_0 = add(sum7_0, x0, x1, x2, w7);
        sum7_1 = add(sum7_1, x1, x2, x3, w7);
        let w8 = spread(weights, 8u);
        sum8_0 = add(sum8_0, x0, x1, x2, w8);
        sum8_1 = add(sum8_1, x1, x2, x3, w8);
        let w9 = spread(weights, 9u);
        sum9_0 = add(sum9_0, x0, x1, x2, w9);
        sum9_1 = add(sum9_1, x1, x2, x3, w9);
        let w10 = spread(weights, 10u);
        sum10_0 = add(sum10_0, x0, x1, x2, w10);
        sum10_1 = add(sum10_1, x1, x2, x3, w10);
        let w11 = spread(weights, 11u);
        sum11_0 = add(sum11_0, x0, x1, x2, w11);
        sum11_1 = add(sum11_1, x1, x2, x3, w11);
        let w12 = spread(weights, 12u);
        sum12_0 = add(sum12_0, x0, x1, x2, w12);
        sum12_1 = add(sum12_1, x1, x2, x3, w12);
        let w13 = spread(weights, 13u);
        sum13_0 = add(sum13_0, x0, x1, x2, w13);
        sum13_1 = add(sum13_1, x1, x2, x3, w13);
        let w14 = spread(weights, 14u);
        sum14_0 = add(sum14_0, x0, x1, x2, w14);
        sum14_1 = add(sum14_1, x1, x2, x3, w14);
        let w15 = spread(weights, 15u);
        sum15_0 = add(sum15_0, x0, x1, x2, w15);
        sum15_1 = add(sum15_1, x1, x2, x3, w15);
        x_at += params.x_strides.y >> 2u;
        w_at += u32(params.w_strides.y);
    }

    let low_bias = bias_of(tile.row + lane);
    let high_bias = bias_of(tile.row + lane + 8u);
    let bias0 = vec4<f32>(subgroupShuffle(low_bias, 0u));
    let bias1 = vec4<f32>(subgroupShuffle(low_bias, 1u));
    let bias2 = vec4<f32>(subgroupShuffle(low_bias, 2u));
    let bias3 = vec4<f32>(subgroupShuffle(low_bias, 3u));
    let bias4 = vec4<f32>(subgroupShuffle(low_bias, 4u));
    let bias5 = vec4<f32>(subgroupShuffle(low_bias, 5u));
    let bias6 = vec4<f32>(subgroupShuffle(low_bias, 6u));
    let bias7 = vec4<f32>(subgroupShuffle(low_bias, 7u));
    let bias8 = vec4<f32>(subgroupShuffle(high_bias, 0u));
    let bias9 = vec4<f32>(subgroupShuffle(high_bias, 1u));
    let bias10 = vec4<f32>(subgroupShuffle(high_bias, 2u));
    let bias11 = vec4<f32>(subgroupShuffle(high_bias, 3u));
    let bias12 = vec4<f32>(subgroupShuffle(high_bias, 4u));
    let bias13 = vec4<f32>(subgroupShuffle(high_bias, 5u));
    let bias14 = vec4<f32>(subgroupShuffle(high_bias, 6u));
    let bias15 = vec4<f32>(subgroupShuffle(high_bias, 7u));
    if tile.places == 0u {
        return;
    }
    let first = params.offsets.w + tile.image * params.y_strides.x + tile.line * params.y_strides.z + tile.column;
    store(first, tile.row + 0u, tile.line, 0u, sum0_0 + bias0);
    store(first, tile.row + 0u, tile.line, 1u, sum0_1 + bias0);
    store(first, tile.row + 1u, tile.line, 0u, sum1_0 + bias1);
    store(first, tile.row + 1u, tile.line, 1u, sum1_1 + bias1);
    store(first, tile.row + 2u, tile.line, 0u, sum2_0 + bias2);
    store(first, tile.row + 2u, tile.line, 1u, sum2_1 + bias2);
    store(first, tile.row + 3u, tile.line, 0u, sum3_0 + bias3);
    store(first, tile.row + 3u, tile.line, 1u, sum3_1 + bias3);
    store(first, tile.row + 4u, tile.line, 0u, sum4_0 + bias4);
    store(first, tile.row + 4u, tile.line, 1u, sum4_1 + bias4);
    store(first, tile.row + 5u, tile.line, 0u, sum5_0 + bias5);
    store(first, tile.row + 5u, tile.line, 1u, sum5_1 + bias5);
    store(first, tile.row + 6u, tile.line, 0u, sum6_0 + bias6);
    store(first, tile.row + 6u, tile.line, 1u, sum6_1 + bias6);
    store(first, tile.row + 7u, tile.line, 0u, sum7_0 + bias7);
    store(first, tile.row + 7u, tile.line, 1u, sum7_1 + bias7);
    store(first, tile.row + 8u, tile.line, 0u, sum8_0 + bias8);
    store(first, tile.row + 8u, tile.line, 1u, sum8_1 + bias8);
    store(first, tile.row + 9u, tile.line, 0u, sum9_0 + bias9);
    store(first, tile.row + 9u, tile.line, 1u, sum9_1 + bias9);
    store(first, tile.row + 10u, tile.line, 0u, sum10_0 + bias10);
    store(first, tile.row + 10u, tile.line, 1u, sum10_1 + bias10);
    store(first, tile.row + 11u, tile.line, 0u, sum11_0 + bias11);
    store(first, tile.row + 11u, tile.line, 1u, sum11_1 + bias11);
    store(first, tile.row + 12u, tile.line, 0u, sum12_0 + bias12);
    store(first, tile.row + 12u, tile.line, 1u, sum12_1 + bias12);
    store(first, tile.row + 13u, tile.line, 0u, sum13_0 + bias13);
    store(first, tile.row + 13u, tile.line, 1u, sum13_1 + bias13);
    store(first, tile.row + 14u, tile.line, 0u, sum14_0 + bias14);
    store(first, tile.row + 14u, tile.line, 1u, sum14_1 + bias14);
    store(first, tile.row + 15u, tile.line, 0u, sum15_0 + bias15);
    store(first, tile.row + 15u, tile.line, 1u, sum15_1 + bias15);
}

// Writes a line of a channel, if it exists.
fn store(first: u32, row: u32, line: u32, next: u32, values: vec4<f32>) {
    if row < params.rows && line + next < params.out_size.x {
        y[(first + row * params.y_strides.y + next * params.y_strides.z) >> 2u] = values;
    }
}
