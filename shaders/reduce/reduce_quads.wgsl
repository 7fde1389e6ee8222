// What `reduce.wgsl` does, for elements in whole vectors of four: those of an output, of which a thread then has four
// partial results, or of four neighbouring outputs. How vectors are read is in `common/quads` or `common/quads_half`.
#import common/index
#import common/reduce

@group(0) @binding(1) var<storage, read_write> y: array<elem>;

var<workgroup> partial: array<elem, WG>;

fn combine4(a: vec4<elem>, b: vec4<elem>) -> vec4<elem> {
    return vec4(combine(a.x, b.x), combine(a.y, b.y), combine(a.z, b.z), combine(a.w, b.w));
}

// A thread for every output and part, whose elements lie side by side.
@compute @workgroup_size(WG)
fn rows_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n * params.splits {
        return;
    }
    let base = output_base(i / params.splits);
    let first = i % params.splits * params.part;
    let end = min(first + params.part, params.r);
    var sums = vec4<elem>(identity());
    if in_one_dim() {
        let last = (base + end) >> 2u;
        for (var at = (base + first) >> 2u; at < last; at += 1u) {
            sums = combine4(sums, read_quad(at));
        }
    } else {
        for (var j = first; j < end; j += 4u) {
            sums = combine4(sums, read_quad((base + element_offset(j)) >> 2u));
        }
    }
    y[params.result_offset + i] = finish(combine(combine(sums.x, sums.y), combine(sums.z, sums.w)));
}

// A thread for four outputs, whose elements lie side by side, and a part. Parts lie one behind the other, each with all
// outputs.
@compute @workgroup_size(WG)
fn by_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let quads = params.n / 4u;
    let i = linear_id(group, groups, local);
    if i >= quads * params.splits {
        return;
    }
    let part = i / quads;
    let output = 4u * (i - part * quads);
    let base = output_base(output);
    let first = part * params.part;
    let end = min(first + params.part, params.r);
    var sums = vec4<elem>(identity());
    if in_one_dim() {
        let step = element_step() >> 2u;
        for (var j = first; j < end; j += 1u) {
            sums = combine4(sums, read_quad((base >> 2u) + j * step));
        }
    } else {
        for (var j = first; j < end; j += 1u) {
            sums = combine4(sums, read_quad((base + element_offset(j)) >> 2u));
        }
    }
    let at = params.result_offset + part * params.n + output;
    y[at] = finish(sums.x);
    y[at + 1u] = finish(sums.y);
    y[at + 2u] = finish(sums.z);
    y[at + 3u] = finish(sums.w);
}

// A workgroup for every output and part, whose elements lie side by side.
@compute @workgroup_size(WG)
fn rows_by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if i >= params.n * params.splits {
        return;
    }
    let base = output_base(i / params.splits);
    let first = i % params.splits * params.part;
    let end = min(first + params.part, params.r);
    var sums = vec4<elem>(identity());
    for (var j = first + 4u * local; j < end; j += 4u * WG) {
        sums = combine4(sums, read_quad((base + element_offset(j)) >> 2u));
    }
    partial[local] = combine(combine(sums.x, sums.y), combine(sums.z, sums.w));
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = combine(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        y[params.result_offset + i] = finish(partial[0]);
    }
}
