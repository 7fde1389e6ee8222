// What every kernel of a recurrent step shares: params, and which sequences are still running.
#import common/index
#import common/math

struct Params {
    // sequences, units, and terms of the recurrent product: none where nothing comes before this step
    batch: u32,
    hidden: u32,
    depth: u32,
    // which time step, and the slots of the states before and after it
    step: u32,
    before: u32,
    after: u32,
    // the step that ran after this one: where the walk back comes from
    next: u32,
    reverse: u32,
    steps: u32,
    // 0 or 1: a state before this step, a bias, lengths, relu and not tanh
    has_state: u32,
    has_bias: u32,
    has_lengths: u32,
    relu: u32,
    // gradients that come from outside: of the output, of the last state, of the last cell
    has_dy: u32,
    has_dh: u32,
    has_dc: u32,
    // first elements
    weight_offset: u32,
    bias_offset: u32,
    dy_offset: u32,
    dh_offset: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

// Where a row of a buffer with `width` numbers a sequence and step starts.
fn row_at(slot: u32, row: u32, width: u32) -> u32 {
    return (slot * params.batch + row) * width;
}
