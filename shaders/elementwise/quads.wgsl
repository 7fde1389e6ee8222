// Operands that lie like the result: its elements 4i to 4i + 3 come from vector i of each.

const PER_THREAD: u32 = 4u;

fn firsts_of(i: u32) -> vec3<u32> {
    return params.offsets.xyz + 4u * i;
}

fn spread(v: vec4<elem>, first: u32, operand: u32) -> vec4<elem> {
    return v;
}
