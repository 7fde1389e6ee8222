// One value for every output, whose elements are walked over twice: first for the largest of what `see` makes of them, which
// decides their unit, then for the sum of their terms in that unit. The operation's own file defines `seen`, what they are
// compared as, `see`, LEAST_SEEN, `unit_of`, `term` and `finish`, and whether it has either walk (LOOKS, ADDS). The walks,
// `look` and `add`, are in `reduce_twice_each` or `reduce_twice_quads`, with LANES, the elements that they read at a time.
#import common/index
#import common/parts
#import common/group

@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> seen_by: array<seen, WG>;

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
    let found = look(part.base, part.first, part.end, LANES);
    let unit = unit_of(found);
    y[params.result_offset + i] = finish(found, unit, add(part.base, part.first, part.end, LANES, unit));
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
    seen_by[local] = look(part.base, part.first + LANES * local, part.end, LANES * WG);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            seen_by[local] = max(seen_by[local], seen_by[local + half]);
        }
        workgroupBarrier();
    }
    let found = seen_by[0];
    let unit = unit_of(found);
    let sum = group_sum(local, add(part.base, part.first + LANES * local, part.end, LANES * WG, unit));
    if local == 0u {
        y[params.result_offset + i] = finish(found, unit, sum);
    }
}
