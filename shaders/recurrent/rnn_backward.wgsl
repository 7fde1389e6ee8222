// A step back through a simple recurrent layer: the slope follows from the state after the step.

const WIDTH: u32 = 1u;

@group(0) @binding(5) var<storage, read> states: array<f32>;

fn column_of(k: u32) -> u32 {
    return k;
}

fn finish_unit(row: u32, unit: u32, sum: f32) {
    var d = 0.0;
    if is_running(row) {
        let h = states[row_at(params.after, row, params.hidden) + unit];
        d = outside(row, unit) + sum;
        if params.relu != 0u {
            // A NaN passes the gradient, as in PyTorch.
            d = select(0.0, d, h > 0.0 || is_nan(h));
        } else {
            d = d * (1.0 - h * h);
        }
    }
    d_gates[row_at(params.step, row, params.hidden) + unit] = d;
}
