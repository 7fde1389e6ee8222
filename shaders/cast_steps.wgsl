// Conversion of elements whose four neighbours of the result lie a step apart, in any other way than as a vector: a thread
// finds the first and writes all four; `extra.x` is the step. `cast_maths.wgsl` has the maths.
#import common/index
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if 4u * i >= params.n {
        return;
    }
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
