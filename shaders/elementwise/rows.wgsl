// Operands whose rows are whole vectors, or one element that is repeated.

const PER_THREAD: u32 = 4u;

// Where element 4i of the result comes from in each operand.
fn firsts_of(i: u32) -> vec3<u32> {
    return operand_offsets(4u * i);
}

// What elements 4i to 4i + 3 come from: the vector with that element, or the element alone.
fn spread(v: vec4<elem>, first: u32, operand: u32) -> vec4<elem> {
    let last = params.rank - 1u;
    let is_repeated = params.strides[2u * operand + (last >> 2u)][last & 3u] == 0u;
    return select(v, vec4<elem>(v[first & 3u]), is_repeated);
}
