// Cross-entropy of logits against class probabilities. A row is a sample, or a place of one; the probabilities are
// contiguous [sample, class, place].
#import common/index
#import common/group
#import common/log_sum

// Bindings of `rows_by_thread` and `rows_by_group`. Of each row its largest logit, and the logarithm of the sum of the
// exponentials of the distances to it.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> wanted: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> totals: array<f32>;
@group(0) @binding(5) var<storage, read_write> log_sums: array<vec2<f32>>;

// Bindings of `backward`, besides the first three.
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> row_log_sums: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> row_totals: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

// Bindings of `backward_target`, besides x.
@group(0) @binding(1) var<storage, read> weight_of: array<f32>;
@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read> log_sums_of: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> dt: array<f32>;

// What a class counts: its smoothed probability, weighted. `i`: its number in a contiguous [sample, class, place].
fn share(i: u32, category: u32) -> f32 {
    var p = wanted[params.target_offset + i];
    if params.label_smoothing > 0.0 {
        p = (1.0 - params.label_smoothing) * p + params.label_smoothing / f32(params.classes);
    }
    if params.has_weight != 0u {
        p *= weight[params.weight_offset + category];
    }
    return p;
}

// Over every `step`-th class from `first`, the loss with the sum of what the classes count.
fn loss_of(row: u32, start: u32, first: u32, step: u32, largest: f32, log_sum: f32) -> vec2<f32> {
    let place = row / params.inner * params.classes * params.inner + row % params.inner;
    var sum = vec2<f32>();
    for (var c = first; c < params.classes; c += step) {
        let q = share(place + c * params.inner, c);
        // Both terms are positive: nothing cancels, however large the logits.
        sum += vec2<f32>(q * (lg_keep(largest - x[start + c * params.x_class]) + log_sum), q);
    }
    return sum;
}

fn store_row(row: u32, largest: f32, log_sum: f32, loss: vec2<f32>) {
    losses[row] = loss.x;
    totals[row] = loss.y;
    log_sums[row] = vec2<f32>(largest, log_sum);
}

// A thread for every row.
@compute @workgroup_size(WG)
fn rows_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_id(group, groups, local);
    if row >= params.rows {
        return;
    }
    let start = row_start(row);
    let largest = largest_of(start, 0u, 1u);
    let log_sum = lg_log(sum_of(start, 0u, 1u, largest));
    store_row(row, largest, log_sum, loss_of(row, start, 0u, 1u, largest, log_sum));
}

// A workgroup for every row.
@compute @workgroup_size(WG)
fn rows_by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if row >= params.rows {
        return;
    }
    let start = row_start(row);
    let largest = group_max(local, largest_of(start, local, WG));
    let log_sum = lg_log(group_sum(local, sum_of(start, local, WG, largest)));
    let own = loss_of(row, start, local, WG, largest, log_sum);
    let loss = vec2<f32>(group_sum(local, own.x), group_sum(local, own.y));
    if local == 0u {
        store_row(row, largest, log_sum, loss);
    }
}

// The gradient of the logits. One thread a logit, in the order of a contiguous [sample, class, place].
@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.rows * params.classes {
        return;
    }
    let it = score(i);
    let log_sum = row_log_sums[it.row];
    let upstream = g[params.g_offset + it.row * params.g_step] * params.g_scale;
    let wanted_share = share(i, it.category);
    let total = row_totals[it.row];
    // What nothing is taken from may be smaller than a float as a probability, and not with its factors.
    let is_alone = wanted_share == 0.0;
    let log_probability = lg_keep(x[it.at] - log_sum.x) - log_sum.y;
    let probability = lg_exp_times(log_probability, select(total, upstream * total, is_alone));
    dx[params.result_offset + i] = select(upstream * (probability - wanted_share), probability, is_alone);
}

// The gradient of the probabilities, in the same order.
@compute @workgroup_size(WG)
fn backward_target(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.rows * params.classes {
        return;
    }
    let it = score(i);
    let log_sum = log_sums_of[it.row];
    var d = (1.0 - params.label_smoothing) * (lg_keep(log_sum.x - x[it.at]) + log_sum.y);
    if params.has_weight != 0u {
        d *= weight_of[params.weight_offset + it.category];
    }
    dt[params.result_offset + i] = upstream[params.g_offset + it.row * params.g_step] * params.g_scale * d;
}
