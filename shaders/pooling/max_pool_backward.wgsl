// The gradient of maxima: every element of the input adds up the gradients of the windows whose position is its own, in
// their order.
#import common/index
#import common/pool

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

// A thread an element.
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
    let e = place_of(i, params.size);
    let own = i32(i - e.plane * params.size.x * params.size.y);
    let w = windows_of(e.at);
    let base = e.plane * params.windows.x * params.windows.y;
    var sum = 0.0;
    for (var r = w.first.x; r <= w.last.x; r += 1) {
        for (var c = w.first.y; c <= w.last.y; c += 1) {
            let o = base + u32(r) * params.windows.y + u32(c);
            if indices[o] == own {
                sum += g[params.offset + o];
            }
        }
    }
    dx[params.result_offset + i] = sum;
}

// The gradient and the position of a window, or what no element has.
struct Candidate {
    index: i32,
    g: f32,
}

fn candidate(base: u32, o: vec2<i32>) -> Candidate {
    if any(o < vec2(0)) || any(o >= vec2<i32>(params.windows)) {
        return Candidate(-1, 0.0);
    }
    let at = base + u32(o.x) * params.windows.y + u32(o.y);
    return Candidate(indices[at], g[params.offset + at]);
}

fn share(c: Candidate, own: i32) -> f32 {
    return select(0.0, c.g, c.index == own);
}

// A thread a cell, where a window reaches less than two steps far: cells are as large as steps, and the elements of one
// are in the window that starts with it and in those before, so that each window is read once by each of four cells.
@compute @workgroup_size(WG)
fn backward_cells(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    let cells = (params.size + params.pad + params.stride - 1u) / params.stride;
    let cell = place_of(i, cells);
    if i >= params.n {
        return;
    }
    let span = (params.kernel - 1u) * params.dilation;
    let base = cell.plane * params.windows.x * params.windows.y;
    let o = vec2<i32>(cell.at);
    let before = span >= params.stride;
    var c11 = candidate(base, o);
    var c10 = Candidate(-1, 0.0);
    var c01 = c10;
    var c00 = c10;
    if before.y {
        c10 = candidate(base, o - vec2(0, 1));
    }
    if before.x {
        c01 = candidate(base, o - vec2(1, 0));
    }
    if all(before) {
        c00 = candidate(base, o - vec2(1, 1));
    }
    let start = o * vec2<i32>(params.stride) - vec2<i32>(params.pad);
    let first = max(start, vec2(0));
    let end = min(start + vec2<i32>(params.stride), vec2<i32>(params.size));
    let plane = params.result_offset + cell.plane * params.size.x * params.size.y;
    for (var r = first.x; r < end.x; r += 1) {
        for (var c = first.y; c < end.y; c += 1) {
            let own = r * i32(params.size.y) + c;
            dx[plane + u32(own)] = share(c00, own) + share(c01, own) + share(c10, own) + share(c11, own);
        }
    }
}
