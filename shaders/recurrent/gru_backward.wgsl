// A step back through a GRU. `d_gates` gets the gradients of what went into r, z and n, and of q: the input's weights take
// the first three, the state's weights r, z and q. `carry` is what reaches the state before past the gates.

const WIDTH: u32 = 4u;

@group(0) @binding(5) var<storage, read> gates: array<f32>;
@group(0) @binding(6) var<storage, read> states: array<f32>;
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;

// The third of the state's gates lies fourth.
fn column_of(k: u32) -> u32 {
    return select(k + params.hidden, k, k < 2u * params.hidden);
}

fn finish_unit(row: u32, unit: u32, sum: f32) {
    let at = row_at(params.step, row, 4u * params.hidden) + unit;
    let place = row * params.hidden + unit;
    var d_gate = vec4<f32>();
    if is_running(row) {
        let r = gates[at];
        let z = gates[at + params.hidden];
        let n = gates[at + 2u * params.hidden];
        let q = gates[at + 3u * params.hidden];
        var h = 0.0;
        if params.has_state != 0u {
            h = states[row_at(params.before, row, params.hidden) + unit];
        }
        var d = outside(row, unit) + sum;
        if !is_last(row) {
            d += carry[place];
        }
        let dn = d * (1.0 - z) * (1.0 - n * n);
        d_gate = vec4<f32>(dn * q * r * (1.0 - r), d * (h - n) * z * (1.0 - z), dn, dn * r);
        carry[place] = d * z;
    }
    d_gates[at] = d_gate.x;
    d_gates[at + params.hidden] = d_gate.y;
    d_gates[at + 2u * params.hidden] = d_gate.z;
    d_gates[at + 3u * params.hidden] = d_gate.w;
}
