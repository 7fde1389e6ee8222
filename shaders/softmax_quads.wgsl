// The kernels `by_thread` of `softmax.wgsl` for rows of whole vectors of four, one behind the other in the result: a thread
// for every row, which loads four elements at a time and takes each exponential once: it waits in the result meanwhile, which
// costs a GPU one more load and store where processors save the time of the exponential.
#import common/index
#import common/math
#import common/reduce

// Threads of a workgroup: few, so that a hundred rows are work for several processors.
const ROWS: u32 = 32u;

// Bindings of the forward kernel.
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

// Bindings of the backward kernel.
@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> result: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;

fn exp4(v: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lg_exp(v.x), lg_exp(v.y), lg_exp(v.z), lg_exp(v.w));
}

fn exp4_times(v: vec4<f32>, by: f32) -> vec4<f32> {
    return vec4<f32>(lg_exp_times(v.x, by), lg_exp_times(v.y, by), lg_exp_times(v.z, by), lg_exp_times(v.w, by));
}

fn keep4(v: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lg_keep(v.x), lg_keep(v.y), lg_keep(v.z), lg_keep(v.w));
}

@compute @workgroup_size(ROWS)
fn by_quads(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups) * ROWS + local;
    if row >= params.n {
        return;
    }
    let quads = params.r >> 2u;
    let base = output_base(row) >> 2u;
    let start = (params.result_offset + row * params.r) >> 2u;
    var best = vec4<f32>(-3.4028235e38);
    for (var j = 0u; j < quads; j += 1u) {
        best = max(best, x[base + j]);
    }
    let largest = max(max(best.x, best.y), max(best.z, best.w));
    var sums = vec4<f32>(0.0);
    for (var j = 0u; j < quads; j += 1u) {
        let powers = exp4(keep4(x[base + j] - largest));
        sums += powers;
        if LOG == 0u {
            y[start + j] = powers;
        }
    }
    let sum = (sums.x + sums.y) + (sums.z + sums.w);
    // As in `softmax.wgsl`.
    let defined = is_finite(largest) && is_finite(sum) && sum >= 1.0;
    let logarithm = lg_log(sum);
    for (var j = 0u; j < quads; j += 1u) {
        var v: vec4<f32>;
        if LOG == 0u {
            v = y[start + j] / sum;
        } else {
            v = keep4(x[base + j] - largest) - logarithm;
        }
        y[start + j] = select(vec4<f32>(nan_f32()), v, defined);
    }
}

@compute @workgroup_size(ROWS)
fn backward_by_quads(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups) * ROWS + local;
    if row >= params.n {
        return;
    }
    let quads = params.r >> 2u;
    let start = row * quads;
    let g_start = (params.offset >> 2u) + start;
    let dx_start = (params.result_offset >> 2u) + start;
    var sums = vec4<f32>(0.0);
    for (var j = 0u; j < quads; j += 1u) {
        if LOG == 1u {
            sums += g[g_start + j];
        } else {
            sums += g[g_start + j] * result[start + j];
        }
    }
    let sum = (sums.x + sums.y) + (sums.z + sums.w);
    for (var j = 0u; j < quads; j += 1u) {
        let upstream = g[g_start + j];
        let p = result[start + j];
        if LOG == 1u {
            dx[dx_start + j] = upstream - exp4_times(p, sum);
        } else {
            dx[dx_start + j] = p * (upstream - sum);
        }
    }
}
