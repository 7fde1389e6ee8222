// Conversion between element types, element by element. Everything is bits here; FROM and TO of the prelude say what
// they mean: 0 f32, 1 i32, 2 u32; FROM also 3 f16 and 4 bf16, TO 3 a truth value. `cast_maths.wgsl` has the maths.
#import common/index
#import common/elementwise
#import common/half

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

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
    let at = operand_offset(i, 0u);
    var converted: u32;
    if FROM >= F16 {
        converted = from_f32(widen(FROM, half_of(x[at >> 1u], at)));
    } else {
        converted = forward(x[at], params.scalars);
    }
    y[result_offset(i)] = converted;
}
