// Cross-entropy of logits against class numbers. A row is a sample, or a place of one.
#import common/index
#import common/fault
#import common/group
#import common/log_sum

// Bindings of `rows_by_thread` and `rows_by_group`. Of each row its largest logit, and the logarithm of the sum of the
// exponentials of the distances to it.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> log_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> faults: array<atomic<u32>, 4>;

// Bindings of `reduce`.
@group(0) @binding(0) var<storage, read> row_losses: array<f32>;
@group(0) @binding(1) var<storage, read> row_weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> divisor: array<f32>;

// Bindings of `backward`, besides the first three.
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> row_log_sums: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> divided_by: array<f32>;
// read with class weights and smoothing only
@group(0) @binding(6) var<storage, read> weight_sum: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

fn class_weight(category: u32) -> f32 {
    if params.has_weight == 0u {
        return 1.0;
    }
    return weight[params.weight_offset + category];
}

// The weighted sum of −log p over every `step`-th class from `first`.
fn surprise_of(start: u32, first: u32, step: u32, largest: f32, log_sum: f32) -> f32 {
    var all = 0.0;
    for (var c = first; c < params.classes; c += step) {
        all += class_weight(c) * (lg_keep(largest - x[start + c * params.x_class]) + log_sum);
    }
    return all;
}

// Writes what is known of a row. `all`: the sum over all classes, for smoothing.
fn store_row(row: u32, start: u32, largest: f32, log_sum: f32, all: f32) {
    log_sums[row] = vec2<f32>(largest, log_sum);
    let label = labels[params.target_offset + row];
    if label == params.ignore_index {
        losses[row] = 0.0;
        weights[row] = 0.0;
        return;
    }
    if label < 0 || u32(label) >= params.classes {
        report_fault(params.site, label, params.classes);
        losses[row] = nan_f32();
        weights[row] = nan_f32();
        return;
    }
    let own = class_weight(u32(label));
    // Both terms are positive: nothing cancels, however large the logits.
    var total = own * (lg_keep(largest - x[start + u32(label) * params.x_class]) + log_sum);
    if params.label_smoothing > 0.0 {
        total = (1.0 - params.label_smoothing) * total + params.label_smoothing / f32(params.classes) * all;
    }
    losses[row] = total;
    weights[row] = own;
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
    var all = 0.0;
    if params.label_smoothing > 0.0 {
        all = surprise_of(start, 0u, 1u, largest, log_sum);
    }
    store_row(row, start, largest, log_sum, all);
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
    var all = 0.0;
    if params.label_smoothing > 0.0 {
        all = group_sum(local, surprise_of(start, local, WG, largest, log_sum));
    }
    if local == 0u {
        store_row(row, start, largest, log_sum, all);
    }
}

// The sum of all rows' losses, divided by the sum of their weights for the mean. One workgroup.
var<workgroup> partial: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn reduce(@builtin(local_invocation_index) local: u32) {
    var sum = vec2<f32>();
    for (var row = local; row < params.rows; row += WG) {
        sum += vec2<f32>(row_losses[row], row_weights[row]);
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        let by = select(1.0, partial[0].y, params.mean != 0u);
        // The mean of no rows is NaN, which a driver's 0/0 need not be.
        loss[0] = select(partial[0].x / by, nan_f32(), by == 0.0 && partial[0].x == 0.0);
        divisor[0] = by;
    }
}

// For each logit its probability, minus 1 for the row's own class. One thread a logit, in the order of a contiguous
// [sample, class, place].
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
    let at = params.result_offset + i;

    let label = labels[params.target_offset + it.row];
    if label == params.ignore_index {
        dx[at] = 0.0;
        return;
    }
    if label < 0 || u32(label) >= params.classes {
        dx[at] = nan_f32();
        return;
    }
    let log_sum = row_log_sums[it.row];
    let upstream = g[params.g_offset + it.row * params.g_step] / divided_by[0];
    let own_weight = class_weight(u32(label));
    let is_hit = it.category == u32(label);
    // What nothing is taken from or added to may be smaller than a float as a probability, and not with its factors.
    let is_alone = !is_hit && params.label_smoothing <= 0.0;
    let log_probability = lg_keep(x[it.at] - log_sum.x) - log_sum.y;
    let probability = lg_exp_times(log_probability, select(1.0, upstream * own_weight, is_alone));
    if is_alone {
        dx[at] = probability;
        return;
    }
    var d = own_weight * (probability - select(0.0, 1.0, is_hit));
    if params.label_smoothing > 0.0 {
        var all = f32(params.classes);
        if params.has_weight != 0u {
            all = weight_sum[0];
        }
        let spread = probability * all - class_weight(it.category);
        d = (1.0 - params.label_smoothing) * d + params.label_smoothing / f32(params.classes) * spread;
    }
    dx[at] = upstream * d;
}
