// A convolution for few channels a group, as in depthwise ones: a thread a quad of one channel. One loop over channels, lines
// and taps: each further level would cost as much as the products on software drivers.
#import common/convolution_quads

// Where a thread is in its sum: channel of x, line and column of the kernel, as steps in x and w.
struct Walk {
    r: u32,
    s: u32,
    h: u32,
    v: u32,
    x_channel: u32,
    w_channel: u32,
    w_line: u32,
}

// So many taps on: then the next line of the kernel, then the next channel.
fn next(walk: Walk, taps: u32, start: vec2<u32>) -> Walk {
    var on = walk;
    let dilation = vec2<u32>(params.dilation);
    let next_line = walk.s + taps >= params.taps.y;
    on.s = select(walk.s + taps, 0u, next_line);
    on.v = select(walk.v + taps * dilation.y, start.y, next_line);
    on.r = walk.r + u32(next_line);
    on.h = walk.h + select(0u, dilation.x, next_line);
    on.w_line = walk.w_line + select(0u, u32(params.w_strides.z), next_line);
    let next_channel = on.r >= params.taps.x;
    on.r = select(on.r, 0u, next_channel);
    on.h = select(on.h, start.x, next_channel);
    on.x_channel = walk.x_channel + select(0u, params.x_strides.y, next_channel);
    on.w_channel = walk.w_channel + select(0u, u32(params.w_strides.y), next_channel);
    on.w_line = select(on.w_line, on.w_channel, next_channel);
    return on;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let across = (params.out_size.y + 3u) / 4u;
    let channels = params.groups * params.rows;
    var rest = linear_id(group, groups, local);
    let column = rest % across * 4u;
    rest /= across;
    let line = rest % params.out_size.x;
    rest /= params.out_size.x;
    let channel = rest % channels;
    let image = rest / channels;
    if image >= params.batch {
        return;
    }
    let places = min(params.out_size.y - column, 4u);
    let tile = Tile(channel / params.rows, channel % params.rows, image, line, column, places, true);

    let start = vec2<u32>(line, column) * params.stride + vec2<u32>(params.origin);
    let x_at = params.offsets.x + image * params.x_strides.x + tile.group * params.channels * params.x_strides.y;
    let w_at = params.offsets.y + tile.group * params.w_group + tile.row * u32(params.w_strides.x);
    let w_step = u32(params.w_strides.w);
    let terms = params.channels * params.taps.x * params.taps.y;
    var walk = Walk(0u, 0u, start.x, start.y, x_at, w_at, w_at);
    var sum = vec4<f32>();
    if params.stride.y == 1u && params.dilation.y == 1 && params.taps.y % 3u == 0u {
        // Three neighbouring taps share six elements.
        for (var i = 0u; i < terms; i += 3u) {
            let inside = walk.h < params.in_size.x;
            let at = walk.x_channel + walk.h * params.x_strides.z;
            let x0 = vec4<f32>(
                load(at, walk.v, inside),
                load(at, walk.v + 1u, inside),
                load(at, walk.v + 2u, inside),
                load(at, walk.v + 3u, inside),
            );
            let after = vec2<f32>(load(at, walk.v + 4u, inside), load(at, walk.v + 5u, inside));
            let tap = walk.w_line + walk.s * w_step;
            sum = fma(vec4<f32>(read_w(tap)), x0, sum);
            sum = fma(vec4<f32>(read_w(tap + w_step)), vec4<f32>(x0.yzw, after.x), sum);
            sum = fma(vec4<f32>(read_w(tap + 2u * w_step)), vec4<f32>(x0.zw, after), sum);
            walk = next(walk, 3u, start);
        }
    } else {
        for (var i = 0u; i < terms; i += 1u) {
            let inside = walk.h < params.in_size.x;
            let at = walk.x_channel + walk.h * params.x_strides.z;
            let x0 = vec4<f32>(
                load(at, walk.v, inside),
                load(at, walk.v + params.stride.y, inside),
                load(at, walk.v + 2u * params.stride.y, inside),
                load(at, walk.v + 3u * params.stride.y, inside),
            );
            sum = fma(vec4<f32>(read_w(walk.w_line + walk.s * w_step)), x0, sum);
            walk = next(walk, 1u, start);
        }
    }
    store_quad(quad_at(tile), tile.row, places, sum + bias_of(tile, tile.row));
}
