// One value for every output. The operation's own file defines `identity`, `combine` and `finish`; `elem` is an alias
// of the prelude. The order in which elements are combined depends on their number alone.
#import common/index
#import common/reduce

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

var<workgroup> partial: array<elem, WG>;

// A thread for every output and part.
@compute @workgroup_size(WG)
fn by_thread(
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
    var sum = identity();
    if in_one_dim() {
        let step = element_step();
        for (var j = first; j < end; j += 1u) {
            sum = combine(sum, x[base + j * step]);
        }
    } else {
        for (var j = first; j < end; j += 1u) {
            sum = combine(sum, x[base + element_offset(j)]);
        }
    }
    y[params.result_offset + i] = finish(sum);
}

// A workgroup for every output and part.
@compute @workgroup_size(WG)
fn by_group(
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
    var sum = identity();
    for (var j = first + local; j < end; j += WG) {
        sum = combine(sum, x[base + element_offset(j)]);
    }
    partial[local] = sum;
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
