// The entry point of kernels that make PER_THREAD neighbours a thread: `run` makes those of thread i.

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if PER_THREAD * i >= params.n {
        return;
    }
    run(i);
}
