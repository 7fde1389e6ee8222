// `by_group` of `reduce.wgsl` for rows of whole vectors of four: each thread has four partial results. How vectors
// are read is in `common/quads` or `common/quads_half`.
#import common/index
#import common/reduce

@group(0) @binding(1) var<storage, read_write> y: array<elem>;

var<workgroup> partial: array<elem, WG>;

fn combine4(a: vec4<elem>, b: vec4<elem>) -> vec4<elem> {
    return vec4(combine(a.x, b.x), combine(a.y, b.y), combine(a.z, b.z), combine(a.w, b.w));
}

@compute @workgroup_size(WG)
fn by_quads(
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
