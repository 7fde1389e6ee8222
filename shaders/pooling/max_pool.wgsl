// The largest element (or, by the variant, the least) of every window, and where in its plane it lies. Of equal elements
// the first wins, and a NaN over everything before it.
#import common/index
#import common/order
#import common/pool

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;

const NAN_ORDER: u32 = 0xffffffffu;

struct Best {
    rank: u32,
    // -1 before the first element
    index: i32,
}

struct Found {
    best: Best,
    value: elem,
}

// What loses against every element: the bits of -∞ or ∞.
fn nothing() -> Found {
    var bits = select(0xff800000u, 0x7f800000u, LEAST == 1u);
    return Found(Best(0u, -1), bitcast<elem>(bits));
}

fn find(i: u32) -> Found {
    let o = place_of(i, params.windows);
    let w = window(o.at);
    let base = plane_offset(o.plane);
    var found = nothing();
    for (var r = w.first.x; r < w.end.x; r += params.dilation.x) {
        for (var c = w.first.y; c < w.end.y; c += params.dilation.y) {
            let v = x[base + r * params.strides.z + c * params.strides.w];
            let rank = order(v);
            if rank > found.best.rank || rank == NAN_ORDER {
                found = Found(Best(rank, i32(r * params.size.y + c)), v);
            }
        }
    }
    return found;
}

// A thread a window.
@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let found = find(i);
    y[i] = found.value;
    indices[i] = found.best.index;
}

// The same without positions.
@compute @workgroup_size(WG)
fn values(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    y[i] = find(i).value;
}

var<workgroup> partial: array<Best, WG>;

fn better(a: Best, b: Best) -> Best {
    // Of equal elements the first, of NaNs the last.
    let earlier = (b.index < a.index) != (b.rank == NAN_ORDER);
    let wins = b.rank > a.rank || (b.rank == a.rank && earlier && b.index >= 0);
    return Best(select(a.rank, b.rank, wins), select(a.index, b.index, wins));
}

// A workgroup a window, for large ones.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if i >= params.n {
        return;
    }
    let o = place_of(i, params.windows);
    let w = window(o.at);
    let base = plane_offset(o.plane);
    let taps = (max(w.end, w.first) - w.first + params.dilation - 1u) / params.dilation;
    var best = nothing().best;
    for (var t = local; t < taps.x * taps.y; t += WG) {
        let at = w.first + vec2(t / taps.y, t % taps.y) * params.dilation;
        let rank = order(x[base + at.x * params.strides.z + at.y * params.strides.w]);
        if rank > best.rank || rank == NAN_ORDER {
            best = Best(rank, i32(at.x * params.size.y + at.y));
        }
    }
    partial[local] = best;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = better(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        let index = partial[0].index;
        indices[i] = index;
        if index < 0 {
            y[i] = nothing().value;
        } else {
            let row = u32(index) / params.size.y;
            let column = u32(index) - row * params.size.y;
            y[i] = x[base + row * params.strides.z + column * params.strides.w];
        }
    }
}
