// A step of an LSTM. `gates` holds the products with the input and gets the gates in their place.

const SPREAD: u32 = 1u;

@group(0) @binding(3) var<storage, read_write> gates: array<f32>;
@group(0) @binding(4) var<storage, read_write> states: array<f32>;
@group(0) @binding(5) var<storage, read_write> cells: array<f32>;

// One unit of each gate.
fn weight_places(unit: u32) -> vec4<u32> {
    let own = params.weight_offset + min(unit, params.hidden - 1u) * params.hidden;
    return own + vec4<u32>(0u, 1u, 2u, 3u) * (params.hidden * params.hidden);
}

fn weights(k: u32, places: vec4<u32>) -> vec4<f32> {
    let at = places + k;
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

fn finish(row: u32, unit: u32, sums: vec4<f32>) {
    if unit >= params.hidden {
        return;
    }
    var h = state_before(row, unit);
    var c = 0.0;
    if params.has_state != 0u {
        c = cells[row_at(params.before, row, params.hidden) + unit];
    }
    if is_running(row) {
        let at = row_at(params.step, row, 4u * params.hidden) + unit;
        let i = lg_sigmoid(gates[at] + bias_of(0u, unit) + sums.x);
        let f = lg_sigmoid(gates[at + params.hidden] + bias_of(1u, unit) + sums.y);
        let g = lg_tanh(gates[at + 2u * params.hidden] + bias_of(2u, unit) + sums.z);
        let o = lg_sigmoid(gates[at + 3u * params.hidden] + bias_of(3u, unit) + sums.w);
        gates[at] = i;
        gates[at + params.hidden] = f;
        gates[at + 2u * params.hidden] = g;
        gates[at + 3u * params.hidden] = o;
        c = f * c + i * g;
        h = o * lg_tanh(c);
    }
    let there = row_at(params.after, row, params.hidden) + unit;
    cells[there] = c;
    states[there] = h;
}
