// Elements put into a target by index. Of entries with one index the last wins: `mark` finds the winner of each place of the
// target, as the greatest entry number, and `write` lets only winners write. `backward` gives winners their gradient and the
// others zero.
#import common/index
#import common/fault

struct Params {
    // threads; entries of a line, and elements of the target's indexed dim
    n: u32,
    m: u32,
    size: u32,
    // where faults come from
    site: u32,
    index_offset: u32,
    // elements of all dims but the indexed one, their dims, and whether each of them has a line of its own
    rest: u32,
    rank: u32,
    by_line: u32,
    // steps along the indexed dim, and first elements
    source_step: u32,
    target_step: u32,
    source_offset: u32,
    target_offset: u32,
    // the dims but the indexed one
    shape: array<vec4<u32>, 2>,
    source_strides: array<vec4<u32>, 2>,
    target_strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> index: array<i32>;

// Bindings of `mark`.
@group(0) @binding(1) var<storage, read_write> marks: array<atomic<i32>>;
@group(0) @binding(2) var<storage, read_write> faults: array<atomic<u32>, 4>;

// Bindings of `write` and `backward`.
@group(0) @binding(1) var<storage, read> winners: array<i32>;
@group(0) @binding(2) var<storage, read> values: array<elem>;
@group(0) @binding(3) var<storage, read_write> result: array<elem>;

fn is_inside(k: i32) -> bool {
    return k >= 0 && u32(k) < params.size;
}

// A thread an entry. Integers have one greatest, in whatever order they come.
@compute @workgroup_size(WG)
fn mark(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let k = index[params.index_offset + i];
    if is_inside(k) {
        atomicMax(&marks[i / params.m * params.size + u32(k)], i32(i % params.m));
    } else {
        report_fault(params.site, k, params.size);
    }
}

// Where an element of the source lies, where it goes to, and whether it wins; both are 0 for a bad index.
struct Entry {
    source: u32,
    place: u32,
    wins: bool,
}

// Thread `i` stands for entry `i / rest` of element `i % rest` of the other dims.
fn entry_of(i: u32) -> Entry {
    let j = i / params.rest;
    let r = i % params.rest;
    let line = select(0u, r, params.by_line != 0u);
    let k = index[params.index_offset + line * params.m + j];
    var rest = r;
    var offset = vec2<u32>(params.source_offset + j * params.source_step, params.target_offset);
    for (var d = params.rank; d > 0u; d -= 1u) {
        let at = d - 1u;
        let size = params.shape[at >> 2u][at & 3u];
        let next = divide(rest, size);
        let steps = vec2<u32>(params.source_strides[at >> 2u][at & 3u], params.target_strides[at >> 2u][at & 3u]);
        offset += (rest - next * size) * steps;
        rest = next;
    }
    if !is_inside(k) {
        return Entry(offset.x, 0u, false);
    }
    let wins = winners[line * params.size + u32(k)] == i32(j);
    return Entry(offset.x, offset.y + u32(k) * params.target_step, wins);
}

@compute @workgroup_size(WG)
fn write(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let entry = entry_of(i);
    if entry.wins {
        result[entry.place] = values[entry.source];
    }
}

// The source is the gradient that is written here, the target the one that comes.
@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let entry = entry_of(i);
    var gradient = elem(0);
    if entry.wins {
        gradient = values[entry.place];
    }
    result[entry.source] = gradient;
}
