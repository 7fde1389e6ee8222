// Where a thread is, and where its element lies.

// The number of this workgroup in a grid that the host may have folded into x and y.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// The number of this thread when every workgroup has WG threads. It can exceed the number of elements: guard.
fn linear_id(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return linear_group(group, groups) * WG + local;
}

// i / d for d < 2^31, by floats: processors divide those several at a time, but not integers. The first quotient is less
// than 2^11 off, the second less than 2.
fn divide(i: u32, d: u32) -> u32 {
    let by = f32(d);
    var q = u32(f32(i) / by);
    var rest = bitcast<i32>(i - q * d);
    let more = i32(floor(f32(rest) / by));
    q += bitcast<u32>(more);
    rest -= more * i32(d);
    return select(select(q, q + 1u, rest >= i32(d)), q - 1u, rest < 0);
}
