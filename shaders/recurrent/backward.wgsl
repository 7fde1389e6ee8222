// A step back: the product is that of the gates' gradients of the step after with the columns of the weight, and gives the
// gradient of this step's state. Each thread has four columns, ACROSS apart.

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read> lengths: array<i32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> dh: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_gates: array<f32>;

const SPREAD: u32 = 4u;

fn is_running(row: u32) -> bool {
    return params.has_lengths == 0u || i32(params.step) < lengths[row];
}

// Whether the sequence ended with this step, so that the gradient of the last state belongs to it.
fn is_last(row: u32) -> bool {
    if params.reverse != 0u {
        return params.step == 0u;
    }
    if params.has_lengths == 0u {
        return params.step + 1u == params.steps;
    }
    return i32(params.step) + 1 == lengths[row];
}

fn operand_base(row: u32) -> u32 {
    return row_at(params.next, row, WIDTH * params.hidden);
}

fn operand(base: u32, k: u32) -> f32 {
    return d_gates[base + column_of(k)];
}

fn weight_places(unit: u32) -> vec4<u32> {
    let units = vec4<u32>(unit, unit + ACROSS, unit + 2u * ACROSS, unit + 3u * ACROSS);
    return params.weight_offset + min(units, vec4<u32>(params.hidden - 1u));
}

fn weights(k: u32, places: vec4<u32>) -> vec4<f32> {
    let at = places + k * params.hidden;
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

// What comes from outside: the gradients of this step's output and of the last state.
fn outside(row: u32, unit: u32) -> f32 {
    var d = 0.0;
    if params.has_dy != 0u {
        d += dy[params.dy_offset + row_at(params.step, row, params.hidden) + unit];
    }
    if params.has_dh != 0u && is_last(row) {
        d += dh[params.dh_offset + row * params.hidden + unit];
    }
    return d;
}

fn finish(row: u32, unit: u32, sums: vec4<f32>) {
    for (var i = 0u; i < SPREAD; i += 1u) {
        let own = unit + i * ACROSS;
        if own < params.hidden {
            finish_unit(row, own, sums[i]);
        }
    }
}
