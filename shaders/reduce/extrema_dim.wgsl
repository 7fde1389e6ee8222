// Extrema with their positions. For every output one walk over the elements; of equal ones the first wins.
#import common/index
#import common/reduce
#import common/order

@group(0) @binding(0) var<storage, read> x: array<elem>;
// While merging: the positions of the elements of x in the whole row, lying as x does.
@group(0) @binding(1) var<storage, read> places: array<i32>;
@group(0) @binding(2) var<storage, read_write> values: array<elem>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;

// How good an element is, and its number in the walk.
struct Best {
    rank: u32,
    place: u32,
}

// What loses against every element.
const NOTHING: Best = Best(0u, 0xffffffffu);

var<workgroup> partial: array<Best, WG>;

fn better(a: Best, b: Best) -> Best {
    if b.rank > a.rank || (b.rank == a.rank && b.place < a.place) {
        return b;
    }
    return a;
}

// The best of elements `first`, `first + step`, … below `end`.
fn best_of(base: u32, first: u32, end: u32, step: u32) -> Best {
    var best = NOTHING;
    for (var j = first; j < end; j += step) {
        best = better(best, Best(order(x[base + element_offset(j)]), j));
    }
    return best;
}

fn store(i: u32, base: u32, best: Best) {
    let at = base + element_offset(best.place);
    values[i] = x[at];
    if params.merging != 0u {
        indices[i] = places[at];
    } else {
        indices[i] = i32(best.place);
    }
}

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
    store(i, base, best_of(base, first, min(first + params.part, params.r), 1u));
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
    partial[local] = best_of(base, first + local, min(first + params.part, params.r), WG);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = better(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        store(i, base, partial[0]);
    }
}
