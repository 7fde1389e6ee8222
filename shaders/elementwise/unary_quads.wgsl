// `unary.wgsl`, four elements a thread, which `quads.wgsl` or `rows.wgsl` finds.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<result>>;

fn run(i: u32) {
    let first = firsts_of(i).x;
    let v = spread(x[first >> 2u], first, 0u);
    let a = bitcast<vec4<elem>>(params.scalars);
    y[result_quad(i)] = vec4<result>(forward(v.x, a), forward(v.y, a), forward(v.z, a), forward(v.w, a));
}
