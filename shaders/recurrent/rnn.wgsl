// A step of a simple recurrent layer: tanh or relu of the products with the input and with the state before.

const SPREAD: u32 = 4u;

@group(0) @binding(3) var<storage, read> inputs: array<f32>;
@group(0) @binding(4) var<storage, read_write> states: array<f32>;

// Four units, ACROSS apart.
fn weight_places(unit: u32) -> vec4<u32> {
    let units = vec4<u32>(unit, unit + ACROSS, unit + 2u * ACROSS, unit + 3u * ACROSS);
    return params.weight_offset + min(units, vec4<u32>(params.hidden - 1u)) * params.hidden;
}

fn weights(k: u32, places: vec4<u32>) -> vec4<f32> {
    let at = places + k;
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

fn finish(row: u32, unit: u32, sums: vec4<f32>) {
    for (var i = 0u; i < SPREAD; i += 1u) {
        let own = unit + i * ACROSS;
        if own < params.hidden {
            finish_unit(row, own, sums[i]);
        }
    }
}

fn finish_unit(row: u32, unit: u32, sum: f32) {
    var h = state_before(row, unit);
    if is_running(row) {
        let a = inputs[row_at(params.step, row, params.hidden) + unit] + bias_of(0u, unit) + sum;
        if params.relu != 0u {
            h = select(a, 0.0, a < 0.0 && !is_nan(a));
        } else {
            h = lg_tanh(a);
        }
    }
    states[row_at(params.after, row, params.hidden) + unit] = h;
}
