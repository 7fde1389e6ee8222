// `unary_backward.wgsl`, four elements a thread, which `quads.wgsl` or `rows.wgsl` finds.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> s: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<elem>>;

fn run(i: u32) {
    let firsts = firsts_of(i);
    let upstream = spread(g[firsts.x >> 2u], firsts.x, 0u);
    let v = spread(s[firsts.y >> 2u], firsts.y, 1u);
    let a = bitcast<vec4<elem>>(params.scalars);
    dx[result_quad(i)] = vec4<elem>(
        backward(upstream.x, v.x, a),
        backward(upstream.y, v.y, a),
        backward(upstream.z, v.z, a),
        backward(upstream.w, v.w, a),
    );
}
