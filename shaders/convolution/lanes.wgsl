// A convolution for software drivers with subgroups of at least eight: 16 channels of 8 quads a workgroup. Every thread
// loads the weights of two channels, and the subgroup spreads them. Unrolled by hand, since naga writes loops that compilers
// do not unroll.
#import common/convolution_quads

// The elements that a quad reads with one tap.
fn load_quad(at: u32, column: u32, inside: bool) -> vec4<f32> {
    return vec4<f32>(
        load(at, column, inside),
        load(at, column + params.stride.y, inside),
        load(at, column + 2u * params.stride.y, inside),
        load(at, column + 3u * params.stride.y, inside),
    );
}

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
    let low = low_row * u32(params.w_strides.x);
    let high = high_row * u32(params.w_strides.x);
    let w_at = params.offsets.y + tile.group * params.w_group;
    let first_line = tile.line * params.stride.x + u32(params.origin.x);
    let first_column = tile.column * params.stride.y + u32(params.origin.y);
    let dilation = vec2<u32>(params.dilation);

    // The inner loop goes along the channels, or along the taps of a line where there are few channels; a third level of
    // loops would cost as much as the products.
    let by_channel = params.channels >= params.taps.y;
    let inner = max(params.channels, params.taps.y);
    let outer = min(params.channels, params.taps.y) * params.taps.x;
    let x_step = select(0u, params.x_strides.y, by_channel);
    let v_step = select(dilation.y, 0u, by_channel);
    let w_step = u32(select(params.w_strides.w, params.w_strides.y, by_channel));
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
    for (var i = 0u; i < outer; i += 1u) {
        let r = i % params.taps.x;
        let other = i / params.taps.x;
        let h = first_line + r * dilation.x;
        let inside = tile.places > 0u && h < params.in_size.x;
        var start = x_at + h * params.x_strides.z + select(other * params.x_strides.y, 0u, by_channel);
        var v = first_column + select(0u, other * dilation.y, by_channel);
        var tap = w_at + r * u32(params.w_strides.z)
            + other * u32(select(params.w_strides.y, params.w_strides.w, by_channel));
        for (var j = 0u; j < inner; j += 1u) {
            let w0 = read_w(tap + low);
            let u0 = read_w(tap + high);
            let x0 = load_quad(start, v, inside);
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
            start += x_step;
            v += v_step;
            tap += w_step;
        }
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
