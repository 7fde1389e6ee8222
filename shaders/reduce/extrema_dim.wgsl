// Extrema with their positions. For every output one walk over the elements; of equal ones the first wins. The walk,
// `best_of`, is in `extrema_dim_each` or `extrema_dim_quads`, with LANES, the elements that it reads at a time, and
// `element`, which reads one.
#import common/index
#import common/parts
#import common/order

// While merging: the positions of the elements of x in the whole row, lying as x does.
@group(0) @binding(1) var<storage, read> places: array<i32>;
@group(0) @binding(2) var<storage, read_write> values: array<elem>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;

// How good an element is, and its number in the walk.
struct Best {
    rank: u32,
    place: u32,
}

// What loses against every element of a walk, and stands for the first where no other is better.
fn start(first: u32, end: u32) -> Best {
    return Best(0u, select(0xffffffffu, first, first < end));
}

fn better(a: Best, b: Best) -> Best {
    if b.rank > a.rank || (b.rank == a.rank && b.place < a.place) {
        return b;
    }
    return a;
}

fn store(i: u32, base: u32, place: u32) {
    let at = base + element_offset(place);
    values[i] = element(at);
    if params.merging != 0u {
        indices[i] = places[at];
    } else {
        indices[i] = i32(place);
    }
}

var<workgroup> partial: array<Best, WG>;

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
    store(i, part.base, best_of(part.base, part.first, part.end, LANES).place);
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
    partial[local] = best_of(part.base, part.first + LANES * local, part.end, LANES * WG);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = better(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        store(i, part.base, partial[0].place);
    }
}
