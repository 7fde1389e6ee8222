// Cross-entropy of logits against class numbers. A row is a sample, or a place of one.
#import common/index
#import common/math
#import common/fault

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
    site: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

// Bindings of `rows`.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> faults: array<atomic<u32>, 4>;

// Bindings of `reduce`.
@group(0) @binding(0) var<storage, read> row_losses: array<f32>;
@group(0) @binding(1) var<storage, read> row_weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> divisor: array<f32>;

// Bindings of `backward`, besides the first three.
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> row_log_sums: array<f32>;
@group(0) @binding(5) var<storage, read> divided_by: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

fn class_weight(category: u32) -> f32 {
    if params.has_weight == 0u {
        return 1.0;
    }
    return weight[params.weight_offset + category];
}

// A row's loss, its weight, and the logarithm of its sum of exponentials.
@compute @workgroup_size(WG)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_id(group, groups, local);
    if row >= params.rows {
        return;
    }
    let start = params.x_offset + row / params.inner * params.x_sample + row % params.inner * params.x_place;
    var largest = x[start];
    for (var c = 1u; c < params.classes; c += 1u) {
        largest = max(largest, x[start + c * params.x_class]);
    }
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c += 1u) {
        sum += lg_exp(x[start + c * params.x_class] - largest);
    }
    let log_sum = lg_log(sum);
    log_sums[row] = largest + log_sum;

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
    var total = own * ((largest - x[start + u32(label) * params.x_class]) + log_sum);
    if params.label_smoothing > 0.0 {
        var all = 0.0;
        for (var c = 0u; c < params.classes; c += 1u) {
            all += class_weight(c) * ((largest - x[start + c * params.x_class]) + log_sum);
        }
        total = (1.0 - params.label_smoothing) * total + params.label_smoothing / f32(params.classes) * all;
    }
    losses[row] = total;
    weights[row] = own;
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
        loss[0] = partial[0].x / by;
        divisor[0] = by;
    }
}

// For each logit its probability, minus 1 for the row's own class. One thread a logit, in the order of a contiguous [sample, class, place].
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
    let place = i % params.inner;
    let category = i / params.inner % params.classes;
    let sample = i / params.inner / params.classes;
    let row = sample * params.inner + place;
    let at = params.result_offset + i;

    let label = labels[params.target_offset + row];
    if label == params.ignore_index {
        dx[at] = 0.0;
        return;
    }
    if label < 0 || u32(label) >= params.classes {
        dx[at] = nan_f32();
        return;
    }
    let logit = x[params.x_offset + sample * params.x_sample + category * params.x_class + place * params.x_place];
    let probability = lg_exp(logit - row_log_sums[row]);
    let hit = select(0.0, 1.0, category == u32(label));
    var d = class_weight(u32(label)) * (probability - hit);
    if params.label_smoothing > 0.0 {
        var all = 0.0;
        for (var c = 0u; c < params.classes; c += 1u) {
            all += class_weight(c);
        }
        let spread = probability * all - class_weight(category);
        d = (1.0 - params.label_smoothing) * d + params.label_smoothing / f32(params.classes) * spread;
    }
    dx[at] = g[params.g_offset + row * params.g_step] / divided_by[0] * d;
}
