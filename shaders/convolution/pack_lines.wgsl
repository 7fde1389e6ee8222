// `pack.wgsl` for lines whose elements are neighbours in x: four vectors a thread, from the five whole vectors of x that they
// lie in. What they find is shifted into place in registers. How vectors are read is in `common/quads` or
// `common/quads_half`.
#import common/index

@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

const COUNT: u32 = 4u;

// Vector `at` of x; one beyond an end stands for elements that do not count.
fn vector_at(at: i32, inside: bool) -> vec4<f32> {
    return read_quad(u32(select(0, clamp(at, 0, i32(arrayLength(&x)) - 1), inside)));
}

// Four neighbours from element `shift` of the first vector on.
fn shifted(here: vec4<f32>, next: vec4<f32>, shift: u32) -> vec4<f32> {
    let by_two = (shift & 2u) != 0u;
    let low = select(here, vec4<f32>(here.zw, next.xy), by_two);
    let high = select(next.x, next.z, by_two);
    return select(low, vec4<f32>(low.yzw, high), (shift & 1u) != 0u);
}

// Zeros where x has nothing.
fn masked(values: vec4<f32>, column: u32, inside: bool) -> vec4<f32> {
    let exists = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.in_size.y);
    return select(vec4<f32>(), values, exists & vec4<bool>(inside));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let place = place_of(i);
    // The last thread of a line begins early rather than end late, so it makes some again that the one before it makes.
    let first = min(place.first, max(params.shape.w, COUNT) - COUNT);
    let v = 4u * first + u32(params.origin.y);
    let start = bitcast<i32>(place.line + v);
    let at = start >> 2u;
    let shift = u32(start) & 3u;
    let x0 = vector_at(at, place.inside);
    let x1 = vector_at(at + 1, place.inside);
    let x2 = vector_at(at + 2, place.inside);
    let x3 = vector_at(at + 3, place.inside);
    let x4 = vector_at(at + 4, place.inside);
    let to = place.to + first;
    let y0 = masked(shifted(x0, x1, shift), v, place.inside);
    let y1 = masked(shifted(x1, x2, shift), v + 4u, place.inside);
    let y2 = masked(shifted(x2, x3, shift), v + 8u, place.inside);
    let y3 = masked(shifted(x3, x4, shift), v + 12u, place.inside);
    // A line shorter than that gets its last vector again: a store costs the same with a branch round it.
    let last = params.shape.w - 1u;
    y[to] = y0;
    let z1 = select(y0, y1, last >= 1u);
    y[to + min(1u, last)] = z1;
    let z2 = select(z1, y2, last >= 2u);
    y[to + min(2u, last)] = z2;
    let z3 = select(z2, y3, last >= 3u);
    y[to + min(3u, last)] = z3;
}
