// Where a thread is, and where its element lies.

// The number of this workgroup in a grid that the host may have folded into x and y.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// The number of this thread when every workgroup has WG threads. It can exceed the number of elements: guard.
fn linear_id(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return linear_group(group, groups) * WG + local;
}

// i / d for both below 2^31, by floats: processors multiply those several at a time, but don't divide integers so. The first
// quotient is less than 2^11 / d off, the second less than 2, and no product waits for the division.
fn divide(i: u32, d: u32) -> u32 {
    let n = bitcast<i32>(i);
    let size = bitcast<i32>(d);
    let part = 1.0 / f32(size);
    var q = i32(f32(n) * part);
    var rest = n - q * size;
    let more = i32(f32(rest) * part);
    q += more;
    rest -= more * size;
    return bitcast<u32>(select(select(q, q + 1, rest >= size), q - 1, rest < 0));
}
