// A step back through an LSTM. `carry` is the gradient of the cell, updated in place from step to step.

const WIDTH: u32 = 4u;

@group(0) @binding(5) var<storage, read> gates: array<f32>;
@group(0) @binding(6) var<storage, read> cells: array<f32>;
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;

fn column_of(k: u32) -> u32 {
    return k;
}

fn finish_unit(row: u32, unit: u32, sum: f32) {
    let at = row_at(params.step, row, 4u * params.hidden) + unit;
    let place = row * params.hidden + unit;
    var d_gate = vec4<f32>();
    if is_running(row) {
        var dc = 0.0;
        if params.has_dc != 0u || !is_last(row) {
            dc = carry[place];
        }
        let i = gates[at];
        let f = gates[at + params.hidden];
        let g = gates[at + 2u * params.hidden];
        let o = gates[at + 3u * params.hidden];
        var c_before = 0.0;
        if params.has_state != 0u {
            c_before = cells[row_at(params.before, row, params.hidden) + unit];
        }
        let t = lg_tanh(cells[row_at(params.after, row, params.hidden) + unit]);
        let d = outside(row, unit) + sum;
        dc += d * o * (1.0 - t * t);
        d_gate = vec4<f32>(
            dc * g * i * (1.0 - i),
            dc * c_before * f * (1.0 - f),
            dc * i * (1.0 - g * g),
            d * t * o * (1.0 - o),
        );
        carry[place] = dc * f;
    }
    d_gates[at] = d_gate.x;
    d_gates[at + params.hidden] = d_gate.y;
    d_gates[at + 2u * params.hidden] = d_gate.z;
    d_gates[at + 3u * params.hidden] = d_gate.w;
}
