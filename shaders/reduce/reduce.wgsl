// One value for every output. The operation's own file says what elements become while they are combined (`folded`, made
// by `take`), and defines `identity`, `combine` and `finish`; `elem` is an alias of the prelude. `fold`, which walks over
// elements, is in `reduce_each` or `reduce_quads`, with LANES, the elements that it reads at a time. The order in which
// elements are combined depends on their number and on how they lie alone.
#import common/index
#import common/parts

@group(0) @binding(1) var<storage, read_write> y: array<elem>;

var<workgroup> partial: array<folded, WG>;

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
    let part = part_of(i);
    y[params.result_offset + i] = finish(fold(part.base, part.first, part.end, LANES));
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
    let part = part_of(i);
    partial[local] = fold(part.base, part.first + LANES * local, part.end, LANES * WG);
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
