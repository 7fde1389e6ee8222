// A step forward: the product is that of the states before with the rows of the weight.

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> lengths: array<i32>;

fn is_running(row: u32) -> bool {
    return params.has_lengths == 0u || i32(params.step) < lengths[row];
}

fn operand_base(row: u32) -> u32 {
    return row_at(params.before, row, params.hidden);
}

fn operand(base: u32, k: u32) -> f32 {
    return states[base + k];
}

// The state before, of one unit.
fn state_before(row: u32, unit: u32) -> f32 {
    if params.has_state == 0u {
        return 0.0;
    }
    return states[row_at(params.before, row, params.hidden) + unit];
}

fn bias_of(gate: u32, unit: u32) -> f32 {
    if params.has_bias == 0u {
        return 0.0;
    }
    return bias[params.bias_offset + gate * params.hidden + unit];
}
