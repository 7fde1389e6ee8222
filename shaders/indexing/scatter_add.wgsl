// Sums of source elements by index, without atomics: every target element adds its own, in the order of their numbers.
//
// Entries are numbered line by line, m in a line. All threads of `walk` look at every entry of their line. For longer lines
// the entries are sorted by index, stably, with counting passes of five bits (`count`, `place`); `starts` finds where
// each index begins, and `segments` adds what lies between two starts. The sums of whole blocks of the sorted entries
// (`blocks`) spare `segments` the walk through long runs of one index.
#import common/index
#import common/fault

struct Params {
    // entries, entries of a line, and elements of the target's indexed dim
    n: u32,
    m: u32,
    size: u32,
    // an index that is passed over; none if negative
    skip: i32,
    // where faults come from; 0: they were reported before
    site: u32,
    index_offset: u32,
    // of a counting pass: the first bit, whether entries are still in their own order, entries of a thread, workgroups
    first_bit: u32,
    unsorted: u32,
    chunk: u32,
    tiles: u32,
    // elements of all dims but the indexed one, their dims, and whether each of them has a line of its own
    rest: u32,
    rank: u32,
    by_line: u32,
    // steps along the indexed dim, and first elements
    source_step: u32,
    target_step: u32,
    source_offset: u32,
    target_offset: u32,
    // whether the sums are added to what is there
    accumulate: u32,
    // entries of a block; 0: there are no block sums
    block: u32,
    lines: u32,
    // the dims but the indexed one
    shape: array<vec4<u32>, 2>,
    source_strides: array<vec4<u32>, 2>,
    target_strides: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> index: array<i32>;

// Bindings of `walk`.
@group(0) @binding(1) var<storage, read> walk_source: array<elem>;
@group(0) @binding(2) var<storage, read_write> walk_target: array<elem>;
@group(0) @binding(3) var<storage, read_write> faults: array<atomic<u32>, 4>;

// Bindings of `count`, besides the faults.
@group(0) @binding(1) var<storage, read> order: array<i32>;
@group(0) @binding(2) var<storage, read_write> counts: array<i32>;

// Bindings of `place`.
@group(0) @binding(2) var<storage, read> counted: array<i32>;
@group(0) @binding(3) var<storage, read_write> sorted: array<i32>;

// Bindings of `starts`.
@group(0) @binding(2) var<storage, read_write> found: array<i32>;

// Bindings of `blocks`.
@group(0) @binding(0) var<storage, read> block_order: array<i32>;
@group(0) @binding(1) var<storage, read> block_source: array<elem>;
@group(0) @binding(2) var<storage, read_write> block_sums: array<elem>;

// Bindings of `segments`, besides the first two.
@group(0) @binding(2) var<storage, read> begins: array<i32>;
@group(0) @binding(3) var<storage, read> source: array<elem>;
@group(0) @binding(4) var<storage, read> sums: array<elem>;
@group(0) @binding(5) var<storage, read_write> result: array<elem>;

// Where element `r` of all dims but the indexed one lies, in the source and in the target.
fn place_of(r: u32) -> vec2<u32> {
    var rest = r;
    var offset = vec2<u32>(params.source_offset, params.target_offset);
    for (var d = params.rank; d > 0u; d -= 1u) {
        let at = d - 1u;
        let size = params.shape[at >> 2u][at & 3u];
        let next = divide(rest, size);
        let steps = vec2<u32>(params.source_strides[at >> 2u][at & 3u], params.target_strides[at >> 2u][at & 3u]);
        offset += (rest - next * size) * steps;
        rest = next;
    }
    return offset;
}

// Where the source of an entry lies; `column` counts where all share one line.
fn source_of(entry: u32, column: u32) -> u32 {
    let line = entry / params.m;
    let r = select(column, line, params.by_line != 0u);
    return place_of(r).x + (entry - line * params.m) * params.source_step;
}

fn is_inside(k: i32) -> bool {
    return k >= 0 && u32(k) < params.size;
}

// What an entry is sorted by; those that count for nothing come last.
fn key_of(entry: u32) -> u32 {
    let k = index[params.index_offset + entry];
    return select(params.size, u32(k), is_inside(k) && k != params.skip);
}

fn check(entry: u32) {
    let k = index[params.index_offset + entry];
    if params.site != 0u && !is_inside(k) {
        report_fault(params.site, k, params.size);
    }
}

@compute @workgroup_size(WG)
fn walk(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.rest * params.size {
        return;
    }
    let k = i / params.rest;
    let r = i % params.rest;
    let first = select(0u, r * params.m, params.by_line != 0u);
    let at = place_of(r);
    var sum = elem(0);
    for (var j = 0u; j < params.m; j += 1u) {
        if k == 0u {
            check(first + j);
        }
        if key_of(first + j) == k {
            sum += walk_source[at.x + j * params.source_step];
        }
    }
    let to = at.y + k * params.target_step;
    if params.accumulate != 0u {
        sum = walk_target[to] + sum;
    }
    walk_target[to] = sum;
}

const DIGITS: u32 = 32u;

// How often each digit comes in each thread's entries: digit · WG + thread.
var<workgroup> table: array<u32, 2048>;
var<workgroup> totals: array<u32, 32>;

// Entry number `p` in the order so far; n where there is none.
fn entry_at(p: u32) -> u32 {
    if p >= params.n {
        return params.n;
    }
    if params.unsorted != 0u {
        return p;
    }
    return u32(order[p]);
}

fn digit_of(entry: u32) -> u32 {
    return (key_of(entry) >> params.first_bit) & (DIGITS - 1u);
}

fn count_digits(tile: u32, local: u32) {
    for (var d = 0u; d < DIGITS; d += 1u) {
        table[d * WG + local] = 0u;
    }
    let first = (tile * WG + local) * params.chunk;
    for (var c = 0u; c < params.chunk; c += 1u) {
        let entry = entry_at(first + c);
        if entry < params.n {
            table[digit_of(entry) * WG + local] += 1u;
        }
    }
}

// How often each digit comes in the entries of a workgroup.
@compute @workgroup_size(WG)
fn count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    count_digits(group.x, local);
    if params.unsorted != 0u {
        let first = (group.x * WG + local) * params.chunk;
        for (var p = first; p < min(first + params.chunk, params.n); p += 1u) {
            check(p);
        }
    }
    workgroupBarrier();
    if local < DIGITS {
        var sum = 0u;
        for (var thread = 0u; thread < WG; thread += 1u) {
            sum += table[local * WG + thread];
        }
        counts[group.x * DIGITS + local] = i32(sum);
    }
}

// Puts the entries in the order of the digit; equal ones stay as they were.
@compute @workgroup_size(WG)
fn place(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    count_digits(group.x, local);
    var earlier = 0u;
    if local < DIGITS {
        var total = 0u;
        for (var tile = 0u; tile < params.tiles; tile += 1u) {
            let own = u32(counted[tile * DIGITS + local]);
            if tile < group.x {
                earlier += own;
            }
            total += own;
        }
        totals[local] = total;
    }
    workgroupBarrier();
    if local < DIGITS {
        var next = earlier;
        for (var d = 0u; d < local; d += 1u) {
            next += totals[d];
        }
        for (var thread = 0u; thread < WG; thread += 1u) {
            let own = table[local * WG + thread];
            table[local * WG + thread] = next;
            next += own;
        }
    }
    workgroupBarrier();
    let first = (group.x * WG + local) * params.chunk;
    for (var c = 0u; c < params.chunk; c += 1u) {
        let entry = entry_at(first + c);
        if entry < params.n {
            let slot = digit_of(entry) * WG + local;
            sorted[table[slot]] = i32(entry);
            table[slot] += 1u;
        }
    }
}

// The first sorted entry of each index and line, and behind the last the first that counts for nothing.
@compute @workgroup_size(WG)
fn starts(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i > params.size * params.lines {
        return;
    }
    let k = i / params.lines;
    let first = i % params.lines * params.m;
    var low = 0u;
    var high = params.n;
    while low < high {
        let middle = low + (high - low) / 2u;
        let entry = u32(order[middle]);
        let key = key_of(entry);
        if key < k || (key == k && entry < first) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    found[i] = i32(low);
}

// The sum of each block of sorted entries, whatever their indices; one for each column where all share one line.
@compute @workgroup_size(WG)
fn blocks(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    let columns = select(params.rest, 1u, params.by_line != 0u);
    let first = i / columns * params.block;
    if first >= params.n {
        return;
    }
    var sum = elem(0);
    for (var p = first; p < min(first + params.block, params.n); p += 1u) {
        sum += block_source[source_of(u32(block_order[p]), i % columns)];
    }
    block_sums[i] = sum;
}

@compute @workgroup_size(WG)
fn segments(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.rest * params.size {
        return;
    }
    let k = i / params.rest;
    let r = i % params.rest;
    let line = select(0u, r, params.by_line != 0u);
    let segment = k * params.lines + line;
    // All entries of a segment are of one line. The difference may wrap; the sum with an entry's step wraps back.
    let at = place_of(r);
    let base = at.x - line * params.m * params.source_step;
    var p = u32(begins[segment]);
    let end = u32(begins[segment + 1u]);
    var sum = elem(0);
    if params.block != 0u && end - p > 2u * params.block {
        // Up to a block's edge one by one, then block by block, and what is left below.
        let columns = select(params.rest, 1u, params.by_line != 0u);
        let column = select(r, 0u, params.by_line != 0u);
        while p % params.block != 0u {
            sum += source[base + u32(order[p]) * params.source_step];
            p += 1u;
        }
        while p + params.block <= end {
            sum += sums[p / params.block * columns + column];
            p += params.block;
        }
    }
    while p < end {
        sum += source[base + u32(order[p]) * params.source_step];
        p += 1u;
    }
    let to = at.y + k * params.target_step;
    if params.accumulate != 0u {
        sum = result[to] + sum;
    }
    result[to] = sum;
}
