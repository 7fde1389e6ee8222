// `max_pool.wgsl` for four neighbouring windows a thread: of two by two elements, or (THREE) of three by three with a padded
// border, both two steps apart, so that vectors of four hold whole pairs of columns. Numbers are what
// `common/words` or `common/half_words` says.
#import common/index
#import common/order
#import common/pool

@group(0) @binding(0) var<storage, read> x: array<word4>;
@group(0) @binding(1) var<storage, read_write> y: array<word4>;
@group(0) @binding(2) var<storage, read_write> indices: array<vec4<i32>>;

const NAN_ORDER: u32 = 0xffffffffu;

struct Found {
    rank: vec4<u32>,
    index: vec4<i32>,
    value: vec4<f32>,
}

// What is left of the windows' best and of one more element of each. Of equal elements the first wins, and a NaN over
// everything before it.
fn better(found: Found, v: vec4<f32>, index: vec4<u32>, is_inside: vec4<bool>) -> Found {
    let rank = vec4(order(v.x), order(v.y), order(v.z), order(v.w));
    let wins = is_inside & ((rank > found.rank) | (rank == vec4(NAN_ORDER)));
    return Found(
        select(found.rank, rank, wins),
        select(found.index, vec4<i32>(index), wins),
        select(found.value, v, wins),
    );
}

fn find(i: u32) -> Found {
    let o = place_of(i, vec2(params.windows.x, params.windows.y >> 2u));
    let base = plane_offset(o.plane);
    let column = 8u * o.at.y;
    var found = Found(vec4(0u), vec4(-1), vec4(0.0));
    for (var r = 0u; r < 2u + THREE; r += 1u) {
        // Above the first row it wraps to a large number, which is not inside.
        let row = 2u * o.at.x + r - THREE;
        let is_inside = row < params.size.x;
        let first = (base + select(0u, row, is_inside) * params.strides.z + column) >> 2u;
        let a = four(x[first]);
        let b = four(x[first + 1u]);
        let even = row * params.size.y + column + vec4(0u, 2u, 4u, 6u);
        if THREE == 1u {
            let before = four(x[first - select(1u, 0u, column == 0u)]);
            let has_left = vec4(column > 0u, true, true, true) & vec4(is_inside);
            found = better(found, vec4(before.w, a.y, a.w, b.y), even - 1u, has_left);
        }
        found = better(found, vec4(a.xz, b.xz), even, vec4(is_inside));
        found = better(found, vec4(a.yw, b.yw), even + 1u, vec4(is_inside));
    }
    return found;
}

@compute @workgroup_size(WG)
fn forward_quads(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    let found = find(i);
    y[i] = words_of(found.value);
    indices[i] = found.index;
}

// The same without positions.
@compute @workgroup_size(WG)
fn values_quads(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
    y[i] = words_of(find(i).value);
}
