// Stable sorting of rows. Elements become keys, unsigned integers in the same order (`order`; turned round to descend), and
// travel with their places. Equal keys are told apart by their places, so every network and every merge is stable.
//
// `rows` sorts rows that fit into workgroup memory, several of them in a workgroup if they are short. Longer rows are cut
// into blocks (`blocks`), which `merge` joins pair by pair; `take` then picks the elements in their new order. `runs` makes
// the blocks without workgroup memory, a thread each.
#import common/index
#import common/order

struct Params {
    // elements of a result; threads of a merge
    n: u32,
    // rows, elements of each, and how many of them are kept
    rows: u32,
    len: u32,
    limit: u32,
    // places that a row takes in workgroup memory, a power of two
    slots: u32,
    // elements of the runs that a merge joins
    run: u32,
    descending: u32,
    // elements of x: the first one (of g in a gradient), and from one to the next in a row; elements between neighbours of
    // a row in a result
    offset: u32,
    step: u32,
    inner: u32,
    // the first element of a gradient's result
    result_offset: u32,
    // the dims but the sorted one
    rank: u32,
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<elem>;

// Bindings of `rows`.
@group(0) @binding(1) var<storage, read_write> row_values: array<elem>;
@group(0) @binding(2) var<storage, read_write> row_indices: array<i32>;

// Bindings of `blocks`.
@group(0) @binding(1) var<storage, read_write> block_keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> block_places: array<i32>;

// Bindings of `runs`: those of `blocks`, and as much again.
@group(0) @binding(3) var<storage, read_write> spare_keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> spare_places: array<i32>;

// Bindings of `merge`.
@group(0) @binding(0) var<storage, read> run_keys: array<u32>;
@group(0) @binding(1) var<storage, read> run_places: array<i32>;
@group(0) @binding(2) var<storage, read_write> merged_keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> merged_places: array<i32>;

// Bindings of `take`.
@group(0) @binding(1) var<storage, read> sorted: array<i32>;
@group(0) @binding(2) var<storage, read_write> values: array<elem>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;

// Bindings of `backward`.
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> taken: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

const THREADS: u32 = 256u;
const SLOTS: u32 = 1024u;
// Elements that a thread merges.
const CHUNK: u32 = 8u;
const NOTHING: u32 = 0xffffffffu;

var<workgroup> keys: array<u32, SLOTS>;
var<workgroup> places: array<u32, SLOTS>;

// Where the elements of a row start.
fn row_base(row: u32) -> u32 {
    var rest = row;
    var offset = params.offset;
    for (var d = params.rank; d > 0u; d -= 1u) {
        let v = (d - 1u) >> 2u;
        let k = (d - 1u) & 3u;
        let next = rest / params.shape[v][k];
        offset += (rest - next * params.shape[v][k]) * params.strides[v][k];
        rest = next;
    }
    return offset;
}

// Where element `j` of a row lies in a contiguous result with `count` elements a row.
fn result_place(row: u32, j: u32, count: u32) -> u32 {
    return (row / params.inner * count + j) * params.inner + row % params.inner;
}

fn key_of(v: elem) -> u32 {
    let key = order(v);
    return select(key, ~key, params.descending != 0u);
}

// Puts element `j` of a row into a slot; nothing, which comes last, where there is none.
fn load(slot: u32, row: u32, j: u32) {
    var key = NOTHING;
    var place = NOTHING;
    if row < params.rows && j < params.len {
        key = key_of(x[row_base(row) + j * params.step]);
        place = j;
    }
    keys[slot] = key;
    places[slot] = place;
}

fn comes_after(a: u32, b: u32) -> bool {
    return keys[a] > keys[b] || (keys[a] == keys[b] && places[a] > places[b]);
}

// Sorts the first `used` slots in pieces of `slots` (Batcher's bitonic network).
fn sort_slots(local: u32, slots: u32, used: u32) {
    workgroupBarrier();
    for (var size = 2u; size <= slots; size *= 2u) {
        for (var half = size / 2u; half > 0u; half /= 2u) {
            for (var pair = local; pair < used / 2u; pair += THREADS) {
                let low = 2u * pair - (pair & (half - 1u));
                let high = low + half;
                let rising = (low & (slots - 1u) & size) == 0u;
                if comes_after(low, high) == rising {
                    let key = keys[low];
                    let place = places[low];
                    keys[low] = keys[high];
                    places[low] = places[high];
                    keys[high] = key;
                    places[high] = place;
                }
            }
            workgroupBarrier();
        }
    }
}

@compute @workgroup_size(THREADS)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = linear_group(group, groups) * (SLOTS / params.slots);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if first >= params.rows {
        return;
    }
    let used = min(SLOTS, (params.rows - first) * params.slots);
    for (var s = local; s < used; s += THREADS) {
        load(s, first + s / params.slots, s % params.slots);
    }
    sort_slots(local, params.slots, used);
    for (var s = local; s < used; s += THREADS) {
        let row = first + s / params.slots;
        let j = s % params.slots;
        if j < params.limit {
            let at = result_place(row, j, params.limit);
            row_values[at] = x[row_base(row) + places[s] * params.step];
            row_indices[at] = i32(places[s]);
        }
    }
}

@compute @workgroup_size(THREADS)
fn blocks(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    let count = (params.len + SLOTS - 1u) / SLOTS;
    let row = i / count;
    if row >= params.rows {
        return;
    }
    let first = i % count * SLOTS;
    for (var s = local; s < SLOTS; s += THREADS) {
        load(s, row, first + s);
    }
    sort_slots(local, SLOTS, SLOTS);
    for (var s = local; s < min(SLOTS, params.len - first); s += THREADS) {
        block_keys[row * params.len + first + s] = keys[s];
        block_places[row * params.len + first + s] = i32(places[s]);
    }
}

// Where a thread is that joins two sorted runs: the elements of both that come next.
struct Heads {
    left: u32,
    right: u32,
}

// The heads before element `o` of a block: where a pair of runs starts, its first elements. There is no loop over pairs:
// lavapipe would take as long for it as for the elements.
fn heads_at(o: u32, run: u32, len: u32, heads: Heads) -> Heads {
    let starts = (o & (2u * run - 1u)) == 0u;
    return Heads(select(heads.left, o, starts), select(heads.right, min(o + run, len), starts));
}

// Whether the left one of these keys is next; of equal ones it is.
fn left_is_next(o: u32, run: u32, len: u32, heads: Heads, left: u32, right: u32) -> bool {
    let start = o & ~(2u * run - 1u);
    return heads.left < min(start + run, len) && (heads.right >= min(start + 2u * run, len) || left <= right);
}

// Joins the runs of a block pair by pair, and puts them beside it.
fn merge_aside(base: u32, run: u32, len: u32) {
    var heads = Heads();
    for (var o = 0u; o < len; o += 1u) {
        heads = heads_at(o, run, len, heads);
        let left = block_keys[base + min(heads.left, len - 1u)];
        let right = block_keys[base + min(heads.right, len - 1u)];
        let is_left = left_is_next(o, run, len, heads, left, right);
        spare_keys[base + o] = select(right, left, is_left);
        spare_places[base + o] = block_places[base + select(heads.right, heads.left, is_left)];
        heads = Heads(heads.left + select(0u, 1u, is_left), heads.right + select(1u, 0u, is_left));
    }
}

// The same, and back.
fn merge_back(base: u32, run: u32, len: u32) {
    var heads = Heads();
    for (var o = 0u; o < len; o += 1u) {
        heads = heads_at(o, run, len, heads);
        let left = spare_keys[base + min(heads.left, len - 1u)];
        let right = spare_keys[base + min(heads.right, len - 1u)];
        let is_left = left_is_next(o, run, len, heads, left, right);
        block_keys[base + o] = select(right, left, is_left);
        block_places[base + o] = spare_places[base + select(heads.right, heads.left, is_left)];
        heads = Heads(heads.left + select(0u, 1u, is_left), heads.right + select(1u, 0u, is_left));
    }
}

// Sorts a block in each thread, by merges of ever longer runs.
@compute @workgroup_size(8)
fn runs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups) * 8u + local;
    let count = (params.len + SLOTS - 1u) / SLOTS;
    let row = i / count;
    if row >= params.rows {
        return;
    }
    let first = i % count * SLOTS;
    let len = min(SLOTS, params.len - first);
    let base = row * params.len + first;
    let source = row_base(row) + first * params.step;
    for (var o = 0u; o < len; o += 1u) {
        block_keys[base + o] = key_of(x[source + o * params.step]);
        block_places[base + o] = i32(first + o);
    }
    // At least once, so that what lies beside the block is written.
    var run = 1u;
    loop {
        merge_aside(base, run, len);
        merge_back(base, 2u * run, len);
        run *= 4u;
        if run >= min(SLOTS, params.len) {
            break;
        }
    }
}

// Joins runs pair by pair; of equal keys those of the first run come first. What lies behind the limit is left out.
@compute @workgroup_size(WG)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let chunks = (params.len + CHUNK - 1u) / CHUNK;
    let base = i / chunks * params.len;
    let position = i % chunks * CHUNK;
    let start = position / (2u * params.run) * 2u * params.run;
    let middle = min(start + params.run, params.len);
    let left = min(middle - start, params.limit);
    let right = min(min(middle + params.run, params.len) - middle, params.limit);
    let end = min(left + right, params.limit);
    let done = position - start;
    // How many of the elements before this chunk come from the left run (Green, McColl, Bader 2012).
    var low = select(0u, done - right, done > right);
    var high = min(done, left);
    while low < high {
        let half = (low + high) / 2u;
        if run_keys[base + start + half] <= run_keys[base + middle + done - 1u - half] {
            low = half + 1u;
        } else {
            high = half;
        }
    }
    var a = low;
    var b = done - low;
    for (var k = done; k < min(done + CHUNK, end); k += 1u) {
        var take_left = a < left;
        if take_left && b < right {
            take_left = run_keys[base + start + a] <= run_keys[base + middle + b];
        }
        let at = base + select(middle + b, start + a, take_left);
        merged_keys[base + start + k] = run_keys[at];
        merged_places[base + start + k] = run_places[at];
        a += select(0u, 1u, take_left);
        b += select(1u, 0u, take_left);
    }
}

// The row and the place in it of element `i` of a result.
fn row_and_place(i: u32) -> vec2<u32> {
    let line = i / params.inner;
    return vec2<u32>(line / params.limit * params.inner + i % params.inner, line % params.limit);
}

@compute @workgroup_size(WG)
fn take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let at = row_and_place(i);
    let place = sorted[at.x * params.len + at.y];
    values[i] = x[row_base(at.x) + u32(place) * params.step];
    indices[i] = place;
}

// The gradient of an element goes back to where it came from; no two came from one place.
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
    let row = row_and_place(i).x;
    dx[params.result_offset + result_place(row, u32(taken[i]), params.len)] = g[params.offset + i];
}
