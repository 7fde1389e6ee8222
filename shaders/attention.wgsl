// What lies between the two products of attention: scores become weights in place, and on the way back gradients of weights
// become gradients of scores. A row holds the scores of one query with all keys. From the prelude: MASK is 0 for none, 1 for
// truth values, 2 for numbers to add; DROPOUT is 1 where weights are dropped. They are constants since software drivers run
// both sides of any other branch, and drawing random numbers is dear.
#import common/index
#import common/math
#import common/random
#import common/group

struct Params {
    // of a matrix: rows here, the first of them in the whole matrix, rows of the whole matrix, columns
    block: u32,
    first: u32,
    queries: u32,
    keys: u32,
    // of all matrices
    rows: u32,
    causal: u32,
    scale: f32,
    // what a score's gradient is multiplied with
    d_scale: f32,
    // the word below which a weight is dropped, and what the others are multiplied with
    threshold: u32,
    keep: f32,
    // where a mask's element lies
    mask_offset: u32,
    mask_row: u32,
    // the draw's counter and seed
    state: vec4<u32>,
    mask_column: u32,
    mask_rank: u32,
    shape: array<vec4<u32>, 2>,
    mask_strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> mask: array<u32>;

// What becomes of a row: products of the query with the keys, masked scores, exponentials, weights.
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;
// On the way back: the gradients of the weights, then of the products.
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

struct Row {
    // its first element here, and in the whole of all matrices
    start: u32,
    whole: u32,
    query: u32,
    mask: u32,
}

fn row_of(row: u32) -> Row {
    let matrix = row / params.block;
    let query = params.first + row % params.block;
    var rest = matrix;
    var at = params.mask_offset + query * params.mask_row;
    for (var d = params.mask_rank; d > 0u; d -= 1u) {
        let size = params.shape[(d - 1u) >> 2u][(d - 1u) & 3u];
        at += rest % size * params.mask_strides[(d - 1u) >> 2u][(d - 1u) & 3u];
        rest /= size;
    }
    return Row(row * params.keys, (matrix * params.queries + query) * params.keys, query, at);
}

fn masked(product: f32, row: Row, key: u32) -> f32 {
    // Kept, so that it is the same number where the largest is found and where that is taken off.
    var s = lg_keep(product * params.scale);
    if MASK == 2u {
        s = lg_keep(s + bitcast<f32>(mask[row.mask + key * params.mask_column]));
    }
    var hidden = params.causal != 0u && key > row.query;
    if MASK == 1u {
        hidden = hidden || mask[row.mask + key * params.mask_column] == 0u;
    }
    // Minus infinity added, as in PyTorch, and so NaN for a NaN or plus infinity. By bits: compilers may assume that a sum
    // has no infinite terms.
    let bits = bitcast<u32>(s);
    let undefined = bits == 0x7f800000u || (bits & 0x7fffffffu) > 0x7f800000u;
    return bitcast<f32>(select(bits, select(0xff800000u, 0x7fc00000u, undefined), hidden));
}

// 0 for a dropped weight.
fn factor(row: Row, key: u32) -> f32 {
    if DROPOUT == 0u {
        return 1.0;
    }
    let i = row.whole + key;
    let words = philox(vec4<u32>(i / 4u, 0u, params.state.xy), params.state.zw);
    return select(params.keep, 0.0, words[i % 4u] < params.threshold);
}

fn largest_of(row: Row, first: u32, step: u32) -> f32 {
    var largest = -3.4028235e38;
    for (var j = first; j < params.keys; j += step) {
        largest = max(largest, masked(scores[row.start + j], row, j));
    }
    return largest;
}

// Puts the exponentials of the masked scores in the products' place, and gives their sum.
fn exp_all(row: Row, first: u32, step: u32, largest: f32) -> f32 {
    var sum = 0.0;
    for (var j = first; j < params.keys; j += step) {
        let e = lg_exp(masked(scores[row.start + j], row, j) - largest);
        scores[row.start + j] = e;
        sum += e;
    }
    return sum;
}

// What an exponential is divided by to be a weight. The largest score adds 1 to the sum: where it is 0, everything was
// masked, and the weights are 0; where it is far from 1 for another reason, or not finite, the row is undefined.
fn divisor(largest: f32, sum: f32) -> f32 {
    if sum == 0.0 {
        return 1.0;
    }
    if !(is_finite(largest) && is_finite(sum) && sum >= 0.5) {
        return nan_f32();
    }
    return sum;
}

fn write_weights(row: Row, first: u32, step: u32, by: f32) {
    for (var j = first; j < params.keys; j += step) {
        scores[row.start + j] = scores[row.start + j] / by * factor(row, j);
    }
}

// A thread for every row.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = linear_id(group, groups, local);
    if place >= params.rows {
        return;
    }
    let row = row_of(place);
    let largest = largest_of(row, 0u, 1u);
    write_weights(row, 0u, 1u, divisor(largest, exp_all(row, 0u, 1u, largest)));
}

// A workgroup for every row. Every thread comes back to the elements that it wrote itself.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if place >= params.rows {
        return;
    }
    let row = row_of(place);
    let largest = group_max(local, largest_of(row, local, WG));
    let sum = group_sum(local, exp_all(row, local, WG, largest));
    write_weights(row, local, WG, divisor(largest, sum));
}

// Puts the weights before dropout in the exponentials' place, and gives what they weigh the gradients with.
fn weigh(row: Row, first: u32, step: u32, by: f32) -> f32 {
    var total = 0.0;
    for (var j = first; j < params.keys; j += step) {
        let weight = scores[row.start + j] / by;
        scores[row.start + j] = weight;
        total += weight * (gradients[row.start + j] * factor(row, j));
    }
    return total;
}

fn write_gradients(row: Row, first: u32, step: u32, total: f32) {
    for (var j = first; j < params.keys; j += step) {
        let weight = scores[row.start + j];
        let f = factor(row, j);
        gradients[row.start + j] = weight * lg_keep((gradients[row.start + j] * f - total) * params.d_scale);
        scores[row.start + j] = weight * f;
    }
}

@compute @workgroup_size(WG)
fn backward_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = linear_id(group, groups, local);
    if place >= params.rows {
        return;
    }
    let row = row_of(place);
    let largest = largest_of(row, 0u, 1u);
    let sum = exp_all(row, 0u, 1u, largest);
    write_gradients(row, 0u, 1u, weigh(row, 0u, 1u, divisor(largest, sum)));
}

@compute @workgroup_size(WG)
fn backward_by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = linear_group(group, groups);
    if place >= params.rows {
        return;
    }
    let row = row_of(place);
    let largest = group_max(local, largest_of(row, local, WG));
    let sum = group_sum(local, exp_all(row, local, WG, largest));
    write_gradients(row, local, WG, group_sum(local, weigh(row, local, WG, divisor(largest, sum))));
}
