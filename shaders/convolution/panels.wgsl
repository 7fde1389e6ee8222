// A convolution as a product of the weight with x, for GPUs. Every workgroup makes a tile of ROWS channels of PLACES places,
// every thread a block of 4×4 of it; panels of both, DEPTH pairs of a channel and a tap deep, go through workgroup memory.
#import common/index
#import common/convolution

// Four neighbouring channels, four neighbouring places.
const ROW_QUADS: u32 = ROWS / 4u;
const PLACE_QUADS: u32 = PLACES / 4u;
const A_SIZE: u32 = DEPTH * ROW_QUADS;
const B_SIZE: u32 = DEPTH * PLACE_QUADS;
var<workgroup> a_panel: array<vec4<f32>, A_SIZE>;
var<workgroup> b_panel: array<vec4<f32>, B_SIZE>;

// A place of y: where its image starts in x, what it reads there with the first tap, where it lies in y.
struct Place {
    x_at: u32,
    h: u32,
    v: u32,
    y_at: u32,
    exists: bool,
}

fn place_at(number: u32) -> Place {
    let column = number % params.out_size.y;
    let line = number / params.out_size.y % params.out_size.x;
    let image = number / params.out_size.y / params.out_size.x;
    return Place(
        params.offsets.x + image * params.x_strides.x,
        line * params.stride.x + u32(params.origin.x),
        column * params.stride.y + u32(params.origin.y),
        image * params.y_strides.x + line * params.y_strides.z + column * params.y_strides.w,
        image < params.batch,
    );
}

// A channel of x and a tap.
struct Term {
    channel: u32,
    tap: vec2<u32>,
    exists: bool,
}

fn term_at(number: u32) -> Term {
    let s = number % params.taps.y;
    let r = number / params.taps.y % params.taps.x;
    let channel = number / params.taps.y / params.taps.x;
    return Term(channel, vec2<u32>(r, s), channel < params.channels);
}

fn load_w(at: u32, row: u32, term: Term) -> f32 {
    if row >= params.rows || !term.exists {
        return 0.0;
    }
    let steps = vec4<u32>(params.w_strides);
    return read_w(at + row * steps.x + term.channel * steps.y + term.tap.x * steps.z + term.tap.y * steps.w);
}

fn load_x(place: Place, first_channel: u32, term: Term) -> f32 {
    let at = vec2<u32>(place.h, place.v) + term.tap * vec2<u32>(params.dilation);
    if !place.exists || !term.exists || at.x >= params.in_size.x || at.y >= params.in_size.y {
        return 0.0;
    }
    let channel = first_channel + term.channel;
    return read_x(place.x_at + channel * params.x_strides.y + at.x * params.x_strides.z + at.y * params.x_strides.w);
}

// Writes two neighbouring places of a channel of the group, with the bias.
fn store_channel(place: Place, next: Place, of_group: u32, row: u32, sums: vec2<f32>) {
    if !place.exists || row >= params.rows {
        return;
    }
    let channel = of_group * params.rows + row;
    var values = sums;
    if params.has_bias != 0u {
        values += read_bias(params.offsets.z + channel * params.bias_stride);
    }
    let at = params.offsets.w + channel * params.y_strides.y;
    store_two(at + place.y_at, at + next.y_at, next.exists, values.x, values.y);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row_tiles = (params.rows + ROWS - 1u) / ROWS;
    let number = linear_group(group, groups);
    let of_places = number % (row_tiles * params.groups);
    let first_place = number / (row_tiles * params.groups) * PLACES;
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if first_place >= params.batch * params.out_size.x * params.out_size.y {
        return;
    }
    let of_group = of_places / row_tiles;
    let first_row = of_places % row_tiles * ROWS;
    let first_channel = of_group * params.channels;
    let w_at = params.offsets.y + of_group * params.w_group;

    // This thread's block; it brings in the same places of x.
    let block_row = local / PLACE_QUADS;
    let block_column = local % PLACE_QUADS;
    let place0 = place_at(first_place + 4u * block_column);
    let place1 = place_at(first_place + 4u * block_column + 1u);
    let place2 = place_at(first_place + 4u * block_column + 2u);
    let place3 = place_at(first_place + 4u * block_column + 3u);

    // A sum a channel.
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    let terms = params.channels * params.taps.x * params.taps.y;
    for (var depth = 0u; depth < terms; depth += DEPTH) {
        for (var i = local; i < A_SIZE; i += 256u) {
            let term = term_at(depth + i / ROW_QUADS);
            let row = first_row + 4u * (i % ROW_QUADS);
            a_panel[i] = vec4<f32>(
                load_w(w_at, row, term),
                load_w(w_at, row + 1u, term),
                load_w(w_at, row + 2u, term),
                load_w(w_at, row + 3u, term),
            );
        }
        for (var i = local; i < B_SIZE; i += 256u) {
            let term = term_at(depth + i / PLACE_QUADS);
            b_panel[i] = vec4<f32>(
                load_x(place0, first_channel, term),
                load_x(place1, first_channel, term),
                load_x(place2, first_channel, term),
                load_x(place3, first_channel, term),
            );
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i += 4u) {
            // naga writes loops that compilers do not unroll: four steps by hand.
            var a = a_panel[i * ROW_QUADS + block_row];
            var b = b_panel[i * PLACE_QUADS + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
            a = a_panel[(i + 1u) * ROW_QUADS + block_row];
            b = b_panel[(i + 1u) * PLACE_QUADS + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
            a = a_panel[(i + 2u) * ROW_QUADS + block_row];
            b = b_panel[(i + 2u) * PLACE_QUADS + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
            a = a_panel[(i + 3u) * ROW_QUADS + block_row];
            b = b_panel[(i + 3u) * PLACE_QUADS + block_column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
        }
        workgroupBarrier();
    }

    let row = first_row + 4u * block_row;
    store_channel(place0, place1, of_group, row, sum0.xy);
    store_channel(place2, place3, of_group, row, sum0.zw);
    store_channel(place0, place1, of_group, row + 1u, sum1.xy);
    store_channel(place2, place3, of_group, row + 1u, sum1.zw);
    store_channel(place0, place1, of_group, row + 2u, sum2.xy);
    store_channel(place2, place3, of_group, row + 2u, sum2.zw);
    store_channel(place0, place1, of_group, row + 3u, sum3.xy);
    store_channel(place2, place3, of_group, row + 3u, sum3.zw);
}
