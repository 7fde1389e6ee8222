// The walk of `reduce.wgsl` over elements in whole vectors of four: those of an output, of which there are then four partial
// results, or of four neighbouring outputs. How vectors are read is in `common/quads` or `common/quads_half`.

const LANES: u32 = 4u;

// With the elements of a vector, each into its own.
fn combine4(a: vec4<folded>, v: vec4<elem>) -> vec4<folded> {
    return vec4(combine(a.x, take(v.x)), combine(a.y, take(v.y)), combine(a.z, take(v.z)), combine(a.w, take(v.w)));
}

// Of the vectors at elements `first`, `first + step`, … below `end`.
fn fold(base: u32, first: u32, end: u32, step: u32) -> folded {
    var four = vec4<folded>(identity());
    if in_one_dim() {
        let last = (base + end) >> 2u;
        for (var at = (base + first) >> 2u; at < last; at += step >> 2u) {
            four = combine4(four, read_quad(at));
        }
    } else {
        for (var j = first; j < end; j += step) {
            four = combine4(four, read_quad((base + element_offset(j)) >> 2u));
        }
    }
    return combine(combine(four.x, four.y), combine(four.z, four.w));
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
    var four = vec4<folded>(identity());
    if in_one_dim() {
        let step = element_step() >> 2u;
        for (var j = first; j < end; j += 1u) {
            four = combine4(four, read_quad((base >> 2u) + j * step));
        }
    } else {
        for (var j = first; j < end; j += 1u) {
            four = combine4(four, read_quad((base + element_offset(j)) >> 2u));
        }
    }
    let at = params.result_offset + part * params.n + output;
    y[at] = finish(four.x);
    y[at + 1u] = finish(four.y);
    y[at + 2u] = finish(four.z);
    y[at + 3u] = finish(four.w);
}
