// The negative of each row's own score. `cross_entropy.reduce` makes the sum or the mean of it.
#import common/index
#import common/math
#import common/fault
#import common/class_loss

// Bindings of `rows`.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> faults: array<atomic<u32>, 4>;

// Bindings of `backward`.
@group(0) @binding(0) var<storage, read> row_labels: array<i32>;
@group(0) @binding(1) var<storage, read> class_weights: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> divided_by: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

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
    var own = 1.0;
    if params.has_weight != 0u {
        own = weight[params.weight_offset + u32(label)];
    }
    losses[row] = -own * x[row_start(row) + u32(label) * params.x_class];
    weights[row] = own;
}

// One thread a score, in the order of a contiguous [sample, class, place].
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
    let label = row_labels[params.target_offset + it.row];
    var d = 0.0;
    if label != params.ignore_index {
        if label < 0 || u32(label) >= params.classes {
            d = nan_f32();
        } else if u32(label) == it.category {
            var own = 1.0;
            if params.has_weight != 0u {
                own = class_weights[params.weight_offset + it.category];
            }
            d = -own * (g[params.g_offset + it.row * params.g_step] / divided_by[0]);
        }
    }
    dx[params.result_offset + i] = d;
}
