// Classes drawn by the weights of a row: the first whose running sum exceeds a uniform part of the whole. A workgroup a draw;
// each thread adds up its share of the row. Every addition is rounded in one fixed order, so that every device draws the same.
#import common/index
#import common/math
#import common/random
#import common/fault

struct Params {
    // the operation's counter, and the seed
    counter: vec2<u32>,
    seed: vec2<u32>,
    rows: u32,
    classes: u32,
    // draws of each row
    samples: u32,
    x_offset: u32,
    result_offset: u32,
    site: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@group(0) @binding(2) var<storage, read_write> faults: array<atomic<u32>, 4>;

// What is smaller may be flushed to 0 on the way, so it counts as 0 everywhere.
const SMALLEST: f32 = 1.17549435e-38;

// The sums of the threads' shares; negative where a share has no weights.
var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let draw = linear_group(group, groups);
    // The same for the whole workgroup, so the barrier stays in uniform control flow.
    if draw >= params.rows * params.samples {
        return;
    }
    let row = draw / params.samples;
    let base = params.x_offset + row * params.classes;
    let share = (params.classes + WG - 1u) / WG;
    let first = min(local * share, params.classes);
    let end = min(first + share, params.classes);
    var sum = 0.0;
    for (var j = first; j < end; j += 1u) {
        let weight = x[base + j];
        if !is_finite(weight) || weight <= -SMALLEST {
            sum = -1.0;
            break;
        }
        if weight >= SMALLEST {
            sum = lg_keep(sum + weight);
        }
    }
    sums[local] = sum;
    workgroupBarrier();

    var whole = 0.0;
    var defined = true;
    for (var i = 0u; i < WG; i += 1u) {
        defined = defined && sums[i] >= 0.0;
        whole = lg_keep(whole + sums[i]);
    }
    if !defined || !is_finite(whole) || whole < SMALLEST {
        if local == 0u {
            report_fault(params.site, bitcast<i32>(row), 0u);
            y[params.result_offset + draw] = 0;
        }
        return;
    }

    let part = lg_keep(uniform01(philox(vec4<u32>(draw, 0u, params.counter), params.seed).x) * whole);
    // The share in which the running sum exceeds the part; where rounding let none, the last that has weights.
    var own = 0u;
    var before = 0.0;
    var running = 0.0;
    for (var i = 0u; i < WG; i += 1u) {
        if sums[i] > 0.0 {
            own = i;
            before = running;
        }
        running = lg_keep(running + sums[i]);
        if running > part {
            break;
        }
    }
    if local != own {
        return;
    }
    var drawn = first;
    running = before;
    for (var j = first; j < end; j += 1u) {
        let weight = x[base + j];
        if weight >= SMALLEST {
            drawn = j;
            running = lg_keep(running + weight);
            if running > part {
                break;
            }
        }
    }
    y[params.result_offset + draw] = bitcast<i32>(drawn);
}
