// The gradient of the weight of a 3×3 convolution from whole vectors (`pack.wgsl`), for software drivers with subgroups of at
// least eight: there a load costs much the same for four numbers as for one. A workgroup is eight threads of one subgroup
// and makes 16 channels of g times eight of x. Every thread reads its own channel of x, and the subgroup spreads g.
// Unrolled by hand.
#import common/index
#import common/convolution_weight_params

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

const ROWS: u32 = 16u;

// Four places of one channel of g and the three columns of a line of x: taps 0, 1 and 2.
fn add_line(sum: vec3<f32>, x: mat3x4<f32>, g: vec4<f32>) -> vec3<f32> {
    return vec3<f32>(add_tap(sum.x, x[0], g), add_tap(sum.y, x[1], g), add_tap(sum.z, x[2], g));
}

fn add_tap(sum: f32, x: vec4<f32>, g: vec4<f32>) -> f32 {
    return fma(x.w, g.w, fma(x.z, g.z, fma(x.y, g.y, fma(x.x, g.x, sum))));
}

fn add(sum: mat3x3<f32>, x0: mat3x4<f32>, x1: mat3x4<f32>, x2: mat3x4<f32>, g: vec4<f32>) -> mat3x3<f32> {
    return mat3x3<f32>(add_line(sum[0], x0, g), add_line(sum[1], x1, g), add_line(sum[2], x2, g));
}

// What the taps of a line read from column `column` on; `MASKED` is 1 when lines of g end within a vector, and what is
// behind them must not count, were it infinite.
fn columns(here: vec4<f32>, next: vec4<f32>, column: u32) -> mat3x4<f32> {
    let all = mat3x4<f32>(here, vec4<f32>(here.yzw, next.x), vec4<f32>(here.zw, next.xy));
    if MASKED == 0u {
        return all;
    }
    let exists = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.out_size.y);
    let none = vec4<f32>();
    return mat3x4<f32>(select(none, all[0], exists), select(none, all[1], exists), select(none, all[2], exists));
}

fn spread(g: vec4<f32>, row: u32) -> vec4<f32> {
    return subgroupShuffle(g, row);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let column_tiles = (params.channels + 7u) / 8u;
    let row_tiles = (params.rows + ROWS - 1u) / ROWS;
    let number = linear_group(group, groups);
    let split = number / (column_tiles * row_tiles);
    // The same for the whole workgroup, so the subgroup stays together.
    if split >= params.splits {
        return;
    }
    let channel = number % column_tiles * 8u + lane;
    let first_row = number / column_tiles % row_tiles * ROWS;
    let x_at = params.offsets.y + min(channel, params.channels - 1u) * params.x_strides.y;
    let x_line = params.x_strides.z >> 2u;
    let g_at0 = params.offsets.x + min(first_row + 0u + lane, params.rows - 1u) * params.g_strides.y;
    let g_at1 = params.offsets.x + min(first_row + 8u + lane, params.rows - 1u) * params.g_strides.y;
    var sum0 = mat3x3<f32>();
    var sum1 = mat3x3<f32>();
    var sum2 = mat3x3<f32>();
    var sum3 = mat3x3<f32>();
    var sum4 = mat3x3<f32>();
    var sum5 = mat3x3<f32>();
    var sum6 = mat3x3<f32>();
    var sum7 = mat3x3<f32>();
    var sum8 = mat3x3<f32>();
    var sum9 = mat3x3<f32>();
    var sum10 = mat3x3<f32>();
    var sum11 = mat3x3<f32>();
    var sum12 = mat3x3<f32>();
    var sum13 = mat3x3<f32>();
    var sum14 = mat3x3<f32>();
    var sum15 = mat3x3<f32>();
    // A part is whole lines.
    let first = params.first + split * params.part;
    let lines = (min(first + params.part, params.places) - first) / params.out_size.y;
    let first_line = first / params.out_size.y;
    let vectors = (params.out_size.y + 3u) / 4u;
    for (var i = 0u; i < lines; i += 1u) {
        let image = (first_line + i) / params.out_size.x;
        let line = (first_line + i) % params.out_size.x;
        let of_g = image * params.g_strides.x + line * params.g_strides.z;
        var from_x = (x_at + image * params.x_strides.x + line * params.x_strides.z) >> 2u;
        var from_g0 = (g_at0 + of_g) >> 2u;
        var from_g1 = (g_at1 + of_g) >> 2u;
        var here0 = x[from_x];
        var here1 = x[from_x + 1u * x_line];
        var here2 = x[from_x + 2u * x_line];
        for (var j = 0u; j < vectors; j += 1u) {
            from_x += 1u;
            let next0 = x[from_x];
            let x0 = columns(here0, next0, 4u * j);
            here0 = next0;
            let next1 = x[from_x + 1u * x_line];
            let x1 = columns(here1, next1, 4u * j);
            here1 = next1;
            let next2 = x[from_x + 2u * x_line];
            let x2 = columns(here2, next2, 4u * j);
            here2 = next2;
            let own0 = g[from_g0];
            from_g0 += 1u;
            let own1 = g[from_g1];
            from_g1 += 1u;
            sum0 = add(sum0, x0, x1, x2, spread(own0, 0u));
            sum1 = add(sum1, x0, x1, x2, spread(own0, 1u));
            sum2 = add(sum2, x0, x1, x2, spread(own0, 2u));
            sum3 = add(sum3, x0, x1, x2, spread(own0, 3u));
            sum4 = add(sum4, x0, x1, x2, spread(own0, 4u));
            sum5 = add(sum5, x0, x1, x2, spread(own0, 5u));
            sum6 = add(sum6, x0, x1, x2, spread(own0, 6u));
            sum7 = add(sum7, x0, x1, x2, spread(own0, 7u));
            sum8 = add(sum8, x0, x1, x2, spread(own1, 0u));
            sum9 = add(sum9, x0, x1, x2, spread(own1, 1u));
            sum10 = add(sum10, x0, x1, x2, spread(own1, 2u));
            sum11 = add(sum11, x0, x1, x2, spread(own1, 3u));
            sum12 = add(sum12, x0, x1, x2, spread(own1, 4u));
            sum13 = add(sum13, x0, x1, x2, spread(own1, 5u));
            sum14 = add(sum14, x0, x1, x2, spread(own1, 6u));
            sum15 = add(sum15, x0, x1, x2, spread(own1, 7u));
        }
    }

    if channel < params.channels {
        // The result is [tap, channel of x, channel of g].
        let tap = params.channels * params.rows;
        let at = params.offsets.z + split * 9u * tap + channel * params.rows + first_row;
        store(at + 0u, first_row + 0u, tap, sum0, sum1, sum2, sum3);
        store(at + 4u, first_row + 4u, tap, sum4, sum5, sum6, sum7);
        store(at + 8u, first_row + 8u, tap, sum8, sum9, sum10, sum11);
        store(at + 12u, first_row + 12u, tap, sum12, sum13, sum14, sum15);
    }
}

// Four channels of g.
fn store(at: u32, row: u32, tap: u32, s0: mat3x3<f32>, s1: mat3x3<f32>, s2: mat3x3<f32>, s3: mat3x3<f32>) {
    if row < params.rows {
        y[(at) >> 2u] = vec4<f32>(s0[0][0], s1[0][0], s2[0][0], s3[0][0]);
        y[(at + 1u * tap) >> 2u] = vec4<f32>(s0[0][1], s1[0][1], s2[0][1], s3[0][1]);
        y[(at + 2u * tap) >> 2u] = vec4<f32>(s0[0][2], s1[0][2], s2[0][2], s3[0][2]);
        y[(at + 3u * tap) >> 2u] = vec4<f32>(s0[1][0], s1[1][0], s2[1][0], s3[1][0]);
        y[(at + 4u * tap) >> 2u] = vec4<f32>(s0[1][1], s1[1][1], s2[1][1], s3[1][1]);
        y[(at + 5u * tap) >> 2u] = vec4<f32>(s0[1][2], s1[1][2], s2[1][2], s3[1][2]);
        y[(at + 6u * tap) >> 2u] = vec4<f32>(s0[2][0], s1[2][0], s2[2][0], s3[2][0]);
        y[(at + 7u * tap) >> 2u] = vec4<f32>(s0[2][1], s1[2][1], s2[2][1], s3[2][1]);
        y[(at + 8u * tap) >> 2u] = vec4<f32>(s0[2][2], s1[2][2], s2[2][2], s3[2][2]);
    }
}
