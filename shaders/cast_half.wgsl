// Conversion to floats of half the width, one thread a word: two neighbours of the contiguous result. FROM and TO of the
// prelude say what the bits mean: 0 f32, 1 i32, 2 u32, 3 f16, 4 bf16.
#import common/index
#import common/elementwise
#import common/half

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

fn element(i: u32) -> u32 {
    let at = operand_offset(i, 0u);
    if FROM >= F16 {
        let half = half_of(x[at >> 1u], at);
        if FROM == TO {
            return half;
        }
        return narrow(TO, widen(FROM, half));
    }
    var bits = x[at];
    if FROM == 1u {
        bits = bitcast<u32>(f32(bitcast<i32>(bits)));
    } else if FROM == 2u {
        bits = bitcast<u32>(f32(bits));
    }
    return narrow(TO, bits);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let word = linear_id(group, groups, local);
    let i = 2u * word;
    if i >= params.n {
        return;
    }
    var halves = element(i);
    if i + 1u < params.n {
        halves |= element(i + 1u) << 16u;
    }
    y[result_offset(0u) / 2u + word] = halves;
}
