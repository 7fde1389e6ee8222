// `binary.wgsl`, four elements a thread, which `quads.wgsl` or `rows.wgsl` finds.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> z: array<vec4<result>>;

fn run(i: u32) {
    let firsts = firsts_of(i);
    let v = spread(x[firsts.x >> 2u], firsts.x, 0u);
    let w = spread(y[firsts.y >> 2u], firsts.y, 1u);
    z[result_quad(i)] = vec4<result>(forward(v.x, w.x), forward(v.y, w.y), forward(v.z, w.z), forward(v.w, w.w));
}
