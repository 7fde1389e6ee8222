// Losses of scores over classes. A row is a sample, or a place of one; its scores are `x_class` apart.

struct Params {
    rows: u32,
    classes: u32,
    // places of a sample: row = sample · inner + place
    inner: u32,
    x_offset: u32,
    x_sample: u32,
    x_class: u32,
    x_place: u32,
    target_offset: u32,
    weight_offset: u32,
    // where the upstream gradient starts, and its step from row to row (0: one for all)
    g_offset: u32,
    g_step: u32,
    result_offset: u32,
    has_weight: u32,
    // whether to divide by the sum of the weights
    mean: u32,
    ignore_index: i32,
    label_smoothing: f32,
    // what the upstream gradient is multiplied by
    g_scale: f32,
    site: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

// Where the scores of a row start.
fn row_start(row: u32) -> u32 {
    return params.x_offset + row / params.inner * params.x_sample + row % params.inner * params.x_place;
}

// An element of a contiguous [sample, class, place].
struct Score {
    row: u32,
    category: u32,
    // where the score lies
    at: u32,
}

fn score(i: u32) -> Score {
    let category = i / params.inner % params.classes;
    let row = i / params.inner / params.classes * params.inner + i % params.inner;
    return Score(row, category, row_start(row) + category * params.x_class);
}
