// Conversion of elements whose four neighbours of the result lie a step apart, in any other way than as a vector: a thread
// finds the first and writes all four; `extra.x` is the step. `cast_maths.wgsl` has the maths.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

const PER_THREAD: u32 = 4u;

fn run(i: u32) {
    let step = params.extra.x;
    let at = operand_offset(4u * i, 0u);
    let a = params.scalars;
    y[result_quad(i)] = vec4<u32>(
        forward(x[at], a),
        forward(x[at + step], a),
        forward(x[at + 2u * step], a),
        forward(x[at + 3u * step], a),
    );
}
