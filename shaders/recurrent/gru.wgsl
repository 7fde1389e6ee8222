// A step of a GRU. `inputs` holds the products with the input; `gates` gets r, z, n, and q = W_hn·h + b_hn, which r scales.

const SPREAD: u32 = 1u;

@group(0) @binding(3) var<storage, read> inputs: array<f32>;
@group(0) @binding(4) var<storage, read_write> gates: array<f32>;
@group(0) @binding(5) var<storage, read_write> states: array<f32>;

// One unit of each gate.
fn weight_places(unit: u32) -> vec4<u32> {
    let own = params.weight_offset + min(unit, params.hidden - 1u) * params.hidden;
    return own + vec4<u32>(0u, 1u, 2u, 2u) * (params.hidden * params.hidden);
}

fn weights(k: u32, places: vec4<u32>) -> vec4<f32> {
    let at = places + k;
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], 0.0);
}

fn finish(row: u32, unit: u32, sums: vec4<f32>) {
    if unit >= params.hidden {
        return;
    }
    var h = state_before(row, unit);
    if is_running(row) {
        let source = row_at(params.step, row, 3u * params.hidden) + unit;
        let r = lg_sigmoid(inputs[source] + bias_of(0u, unit) + sums.x);
        let z = lg_sigmoid(inputs[source + params.hidden] + bias_of(1u, unit) + sums.y);
        let q = bias_of(2u, unit) + sums.z;
        let n = lg_tanh(inputs[source + 2u * params.hidden] + r * q);
        let at = row_at(params.step, row, 4u * params.hidden) + unit;
        gates[at] = r;
        gates[at + params.hidden] = z;
        gates[at + 2u * params.hidden] = n;
        gates[at + 3u * params.hidden] = q;
        h = (1.0 - z) * n + z * h;
    }
    states[row_at(params.after, row, params.hidden) + unit] = h;
}
