// `max_pool_backward.wgsl` for windows of two by two side by side that cover their planes: a thread four windows of a row, whose
// elements lie in two vectors of two rows. Numbers are what `common/words` or `common/half_words` says.
#import common/index
#import common/pool

@group(0) @binding(0) var<storage, read> g: array<word4>;
@group(0) @binding(1) var<storage, read> indices: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<word4>;

@compute @workgroup_size(WG)
fn backward_quads(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let o = place_of(i, vec2(params.windows.x, params.windows.y >> 2u));
    let upstream = four(g[(params.offset >> 2u) + i]);
    let taken = vec4<u32>(indices[i]);
    let plane = params.result_offset + o.plane * params.size.x * params.size.y;
    for (var r = 0u; r < 2u; r += 1u) {
        let first = (2u * o.at.x + r) * params.size.y + 8u * o.at.y;
        let even = select(vec4(0.0), upstream, taken == first + vec4(0u, 2u, 4u, 6u));
        let odd = select(vec4(0.0), upstream, taken == first + vec4(1u, 3u, 5u, 7u));
        dx[(plane + first) >> 2u] = words_of(vec4(even.x, odd.x, even.y, odd.y));
        dx[((plane + first) >> 2u) + 1u] = words_of(vec4(even.z, odd.z, even.w, odd.w));
    }
}

// The windows of four neighbours: where their maxima are, and their gradients.
struct Four {
    taken: vec4<i32>,
    g: vec4<f32>,
}

// Four windows and those one to the right of each; windows that do not exist have taken nothing.
struct Row {
    own: Four,
    next: Four,
}

fn row_at(at: u32, exists: bool, has_next: bool) -> Row {
    let first = (params.offset >> 2u) + at;
    let own = Four(select(vec4(-1), indices[at], exists), four(g[first]));
    let beside = select(0u, 1u, has_next);
    let taken = select(-1, indices[at + beside].x, exists && has_next);
    return Row(own, Four(vec4(own.taken.yzw, taken), vec4(own.g.yzw, four(g[first + beside]).x)));
}

fn share(four: Four, at: vec4<u32>) -> vec4<f32> {
    return select(vec4(0.0), four.g, vec4<u32>(four.taken) == at);
}

// The same for windows of three by three with a padded border, two steps apart: a thread makes the elements of which its four
// windows are the first. Even rows and columns are in one window, odd ones also in the next.
@compute @workgroup_size(WG)
fn backward_threes(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let across = params.windows.y >> 2u;
    let o = place_of(i, vec2(params.windows.x, across));
    let has_next = o.at.y + 1u < across;
    let has_below = o.at.x + 1u < params.windows.x;
    let here = row_at(i, true, has_next);
    let below = row_at(select(i, i + across, has_below), has_below, has_next);
    let first = 2u * o.at.x * params.size.y + 8u * o.at.y;
    let even = first + vec4(0u, 2u, 4u, 6u);
    let a = share(here.own, even);
    let b = share(here.own, even + 1u) + share(here.next, even + 1u);
    let to = (params.result_offset + o.plane * params.size.x * params.size.y + first) >> 2u;
    let left = vec4(a.x, b.x, a.y, b.y);
    let right = vec4(a.z, b.z, a.w, b.w);
    dx[to] = words_of(left);
    dx[to + 1u] = words_of(right);
    // A plane can end with the even row, which then is written again: a store costs the same with a branch round it.
    let is_there = 2u * o.at.x + 1u < params.size.x;
    let odd = even + params.size.y;
    let c = share(here.own, odd) + share(below.own, odd);
    let d = share(here.own, odd + 1u) + share(here.next, odd + 1u) + share(below.own, odd + 1u) + share(below.next, odd + 1u);
    let last = to + select(0u, params.size.y >> 2u, is_there);
    dx[last] = words_of(select(left, vec4(c.x, d.x, c.y, d.y), is_there));
    dx[last + 1u] = words_of(select(right, vec4(c.z, d.z, c.w, d.w), is_there));
}
