// Where a thread is, and where its element lies.

// The number of this workgroup in a grid that the host may have folded into x and y.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// The number of this thread when every workgroup has WG threads. It can exceed the number of elements: guard.
fn linear_id(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return linear_group(group, groups) * WG + local;
}
