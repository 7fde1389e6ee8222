// `binary_backward.wgsl`, four elements a thread, which `quads.wgsl` or `rows.wgsl` finds.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> y: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read_write> d: array<vec4<elem>>;

fn run(i: u32) {
    let firsts = firsts_of(i);
    let u = spread(g[firsts.x >> 2u], firsts.x, 0u);
    let v = spread(x[firsts.y >> 2u], firsts.y, 1u);
    let w = spread(y[firsts.z >> 2u], firsts.z, 2u);
    d[result_quad(i)] = vec4<elem>(
        side(u.x, v.x, w.x),
        side(u.y, v.y, w.y),
        side(u.z, v.z, w.z),
        side(u.w, v.w, w.w),
    );
}
