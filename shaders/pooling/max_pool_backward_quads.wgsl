// `max_pool_backward.wgsl` for windows of two by two side by side that cover their planes: a thread four windows of a row, whose
// elements lie in two vectors of two rows.
#import common/index
#import common/pool

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> indices: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;

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
    let upstream = g[(params.offset >> 2u) + i];
    let taken = vec4<u32>(indices[i]);
    let plane = params.result_offset + o.plane * params.size.x * params.size.y;
    for (var r = 0u; r < 2u; r += 1u) {
        let first = (2u * o.at.x + r) * params.size.y + 8u * o.at.y;
        let even = select(vec4(0.0), upstream, taken == first + vec4(0u, 2u, 4u, 6u));
        let odd = select(vec4(0.0), upstream, taken == first + vec4(1u, 3u, 5u, 7u));
        dx[(plane + first) >> 2u] = vec4(even.x, odd.x, even.y, odd.y);
        dx[((plane + first) >> 2u) + 1u] = vec4(even.z, odd.z, even.w, odd.w);
    }
}
