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

// A thread for a part of four outputs.
@compute @workgroup_size(WG)
fn by_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n / 4u * params.splits {
        return;
    }
    let columns = columns_of(i);
    let part = columns.part;
    var four = vec4<folded>(identity());
    if in_one_dim() {
        let step = element_step() >> 2u;
        for (var j = part.first; j < part.end; j += 1u) {
            four = combine4(four, read_quad((part.base >> 2u) + j * step));
        }
    } else {
        for (var j = part.first; j < part.end; j += 1u) {
            four = combine4(four, read_quad((part.base + element_offset(j)) >> 2u));
        }
    }
    let at = params.result_offset + columns.at;
    y[at] = finish(four.x);
    y[at + 1u] = finish(four.y);
    y[at + 2u] = finish(four.z);
    y[at + 3u] = finish(four.w);
}
