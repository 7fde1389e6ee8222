// A convolution whose kernel's lines are a multiple of three long, where neighbouring places and neighbouring taps read
// neighbouring elements, for software drivers with subgroups of at least eight: 16 channels of 8 quads a workgroup. Three taps
// of a quad share six elements of x, so that a load serves many products. Every thread loads the weights of two channels, and
// the subgroup spreads them. Unrolled by hand.
#import common/convolution_quads

const ROWS: u32 = 16u;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_at(linear_group(group, groups), ROWS, lane);
    // The same for the whole workgroup, so the subgroup stays together.
    if !tile.exists {
        return;
    }
    let x_at = params.offsets.x + tile.image * params.x_strides.x
        + tile.group * params.channels * params.x_strides.y;

    // This thread's two channels: whose weights it loads.
    let low_row = min(tile.row + lane, params.rows - 1u);
    let high_row = min(tile.row + lane + 8u, params.rows - 1u);
    let low_bias = bias_of(tile, low_row);
    let high_bias = bias_of(tile, high_row);
    let far = (high_row - low_row) * u32(params.w_strides.x);
    var w_channel = params.offsets.y + tile.group * params.w_group + low_row * u32(params.w_strides.x);
    var x_channel = x_at;
    let w_step = u32(params.w_strides.w);
    let first_line = tile.line * params.stride.x + u32(params.origin.x);
    let first_column = tile.column + u32(params.origin.y);

    // One loop over channels, lines and triples: each further level would cost as much as the products.
    let steps = params.channels * params.taps.x * (params.taps.y / 3u);
    var r = 0u;
    var s = 0u;
    var h = first_line;
    var w_line = w_channel;
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
    for (var i = 0u; i < steps; i += 1u) {
        let inside = tile.places > 0u && h < params.in_size.x;
        let start = x_channel + h * params.x_strides.z;
        let v = first_column + s;
        let tap = w_line + s * w_step;
        let w0 = read_w(tap);
        let w1 = read_w(tap + w_step);
        let w2 = read_w(tap + 2u * w_step);
        let u0 = read_w(tap + far);
        let u1 = read_w(tap + far + w_step);
        let u2 = read_w(tap + far + 2u * w_step);
        let x0 = vec4<f32>(
            load(start, v, inside),
            load(start, v + 1u, inside),
            load(start, v + 2u, inside),
            load(start, v + 3u, inside),
        );
        let next = vec2<f32>(load(start, v + 4u, inside), load(start, v + 5u, inside));
        let x1 = vec4<f32>(x0.yzw, next.x);
        let x2 = vec4<f32>(x0.zw, next);
        sum0 = fma(vec4<f32>(subgroupBroadcast(w0, 0u)), x0, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(w0, 1u)), x0, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(w0, 2u)), x0, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(w0, 3u)), x0, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(w0, 4u)), x0, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(w0, 5u)), x0, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(w0, 6u)), x0, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(w0, 7u)), x0, sum7);
        sum8 = fma(vec4<f32>(subgroupBroadcast(u0, 0u)), x0, sum8);
        sum9 = fma(vec4<f32>(subgroupBroadcast(u0, 1u)), x0, sum9);
        sum10 = fma(vec4<f32>(subgroupBroadcast(u0, 2u)), x0, sum10);
        sum11 = fma(vec4<f32>(subgroupBroadcast(u0, 3u)), x0, sum11);
        sum12 = fma(vec4<f32>(subgroupBroadcast(u0, 4u)), x0, sum12);
        sum13 = fma(vec4<f32>(subgroupBroadcast(u0, 5u)), x0, sum13);
        sum14 = fma(vec4<f32>(subgroupBroadcast(u0, 6u)), x0, sum14);
        sum15 = fma(vec4<f32>(subgroupBroadcast(u0, 7u)), x0, sum15);
        sum0 = fma(vec4<f32>(subgroupBroadcast(w1, 0u)), x1, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(w1, 1u)), x1, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(w1, 2u)), x1, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(w1, 3u)), x1, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(w1, 4u)), x1, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(w1, 5u)), x1, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(w1, 6u)), x1, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(w1, 7u)), x1, sum7);
        sum8 = fma(vec4<f32>(subgroupBroadcast(u1, 0u)), x1, sum8);
        sum9 = fma(vec4<f32>(subgroupBroadcast(u1, 1u)), x1, sum9);
        sum10 = fma(vec4<f32>(subgroupBroadcast(u1, 2u)), x1, sum10);
        sum11 = fma(vec4<f32>(subgroupBroadcast(u1, 3u)), x1, sum11);
        sum12 = fma(vec4<f32>(subgroupBroadcast(u1, 4u)), x1, sum12);
        sum13 = fma(vec4<f32>(subgroupBroadcast(u1, 5u)), x1, sum13);
        sum14 = fma(vec4<f32>(subgroupBroadcast(u1, 6u)), x1, sum14);
        sum15 = fma(vec4<f32>(subgroupBroadcast(u1, 7u)), x1, sum15);
        sum0 = fma(vec4<f32>(subgroupBroadcast(w2, 0u)), x2, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(w2, 1u)), x2, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(w2, 2u)), x2, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(w2, 3u)), x2, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(w2, 4u)), x2, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(w2, 5u)), x2, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(w2, 6u)), x2, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(w2, 7u)), x2, sum7);
        sum8 = fma(vec4<f32>(subgroupBroadcast(u2, 0u)), x2, sum8);
        sum9 = fma(vec4<f32>(subgroupBroadcast(u2, 1u)), x2, sum9);
        sum10 = fma(vec4<f32>(subgroupBroadcast(u2, 2u)), x2, sum10);
        sum11 = fma(vec4<f32>(subgroupBroadcast(u2, 3u)), x2, sum11);
        sum12 = fma(vec4<f32>(subgroupBroadcast(u2, 4u)), x2, sum12);
        sum13 = fma(vec4<f32>(subgroupBroadcast(u2, 5u)), x2, sum13);
        sum14 = fma(vec4<f32>(subgroupBroadcast(u2, 6u)), x2, sum14);
        sum15 = fma(vec4<f32>(subgroupBroadcast(u2, 7u)), x2, sum15);
        s += 3u;
        // The next line of the kernel, the next channel.
        let next_line = s >= params.taps.y;
        s = select(s, 0u, next_line);
        r += u32(next_line);
        h = select(h, h + u32(params.dilation.x), next_line);
        w_line = select(w_line, w_line + u32(params.w_strides.z), next_line);
        let next_channel = r >= params.taps.x;
        r = select(r, 0u, next_channel);
        h = select(h, first_line, next_channel);
        w_channel = select(w_channel, w_channel + u32(params.w_strides.y), next_channel);
        w_line = select(w_line, w_channel, next_channel);
        x_channel = select(x_channel, x_channel + params.x_strides.y, next_channel);
    }

    let at = quad_at(tile);
    store_quad(at, tile.row + 0u, tile.places, sum0 + subgroupBroadcast(low_bias, 0u));
    store_quad(at, tile.row + 1u, tile.places, sum1 + subgroupBroadcast(low_bias, 1u));
    store_quad(at, tile.row + 2u, tile.places, sum2 + subgroupBroadcast(low_bias, 2u));
    store_quad(at, tile.row + 3u, tile.places, sum3 + subgroupBroadcast(low_bias, 3u));
    store_quad(at, tile.row + 4u, tile.places, sum4 + subgroupBroadcast(low_bias, 4u));
    store_quad(at, tile.row + 5u, tile.places, sum5 + subgroupBroadcast(low_bias, 5u));
    store_quad(at, tile.row + 6u, tile.places, sum6 + subgroupBroadcast(low_bias, 6u));
    store_quad(at, tile.row + 7u, tile.places, sum7 + subgroupBroadcast(low_bias, 7u));
    store_quad(at, tile.row + 8u, tile.places, sum8 + subgroupBroadcast(high_bias, 0u));
    store_quad(at, tile.row + 9u, tile.places, sum9 + subgroupBroadcast(high_bias, 1u));
    store_quad(at, tile.row + 10u, tile.places, sum10 + subgroupBroadcast(high_bias, 2u));
    store_quad(at, tile.row + 11u, tile.places, sum11 + subgroupBroadcast(high_bias, 3u));
    store_quad(at, tile.row + 12u, tile.places, sum12 + subgroupBroadcast(high_bias, 4u));
    store_quad(at, tile.row + 13u, tile.places, sum13 + subgroupBroadcast(high_bias, 5u));
    store_quad(at, tile.row + 14u, tile.places, sum14 + subgroupBroadcast(high_bias, 6u));
    store_quad(at, tile.row + 15u, tile.places, sum15 + subgroupBroadcast(high_bias, 7u));
}
