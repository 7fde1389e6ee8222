// Sums or products of all elements up to each, along a dim. PRODUCT (from the prelude) says which; `merging` 1 goes from
// the end to the start. A row may be cut into parts: `carry` then holds, for every row, the results of its parts so far.
#import common/index
#import common/reduce

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> carry: array<elem>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;

// Neighbours that a thread of a workgroup takes at a time.
const ITEMS: u32 = 8u;
const TILE: u32 = WG * ITEMS;

var<workgroup> lanes: array<elem, WG>;

fn combine(a: elem, b: elem) -> elem {
    if PRODUCT == 1u {
        return a * b;
    }
    return a + b;
}

// One part of a row.
struct Part {
    row: u32,
    first: u32,
    end: u32,
    base: u32,
    start: u32,
    before: elem,
}

fn part_at(i: u32) -> Part {
    let row = i / params.splits;
    let s = i - row * params.splits;
    let first = s * params.part;
    let end = min(first + params.part, params.r);
    var before = elem(PRODUCT);
    if params.merging == 1u {
        if s + 1u < params.splits {
            before = carry[i + 1u];
        }
    } else if s > 0u {
        before = carry[i - 1u];
    }
    let start = params.result_offset + row / params.inner * params.r * params.inner + row % params.inner;
    return Part(row, first, end, output_base(row), start, before);
}

// The `i`-th element of a part, in the order in which it is walked.
fn element_of(p: Part, i: u32) -> u32 {
    return select(p.first + i, p.end - 1u - i, params.merging == 1u);
}

// A thread for every part.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    if id >= params.n * params.splits {
        return;
    }
    let p = part_at(id);
    var total = p.before;
    for (var i = 0u; i < p.end - p.first; i += 1u) {
        let j = element_of(p, i);
        total = combine(total, x[p.base + row_offset(j)]);
        y[p.start + j * params.inner] = total;
    }
}

// A workgroup for every part, tile by tile.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if id >= params.n * params.splits {
        return;
    }
    let p = part_at(id);
    let len = p.end - p.first;
    var before = p.before;
    for (var tile = 0u; tile < len; tile += TILE) {
        let first = tile + local * ITEMS;
        let end = min(first + ITEMS, len);
        var own = elem(PRODUCT);
        for (var i = first; i < end; i += 1u) {
            own = combine(own, x[p.base + row_offset(element_of(p, i))]);
        }
        // All lanes up to each (Hillis and Steele 1986).
        lanes[local] = own;
        workgroupBarrier();
        for (var step = 1u; step < WG; step *= 2u) {
            var sum = lanes[local];
            if local >= step {
                sum = combine(lanes[local - step], sum);
            }
            workgroupBarrier();
            lanes[local] = sum;
            workgroupBarrier();
        }
        var total = before;
        if local > 0u {
            total = combine(total, lanes[local - 1u]);
        }
        before = combine(before, lanes[WG - 1u]);
        workgroupBarrier();
        for (var i = first; i < end; i += 1u) {
            let j = element_of(p, i);
            total = combine(total, x[p.base + row_offset(j)]);
            y[p.start + j * params.inner] = total;
        }
    }
}
