// The gradient of maxima: every element of the input adds up the gradients of the windows whose position is its own, in
// their order. A thread an element.
#import common/index
#import common/pool

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let e = place_of(i, params.size);
    let own = i32(i - e.plane * params.size.x * params.size.y);
    let w = windows_of(e.at);
    let base = e.plane * params.windows.x * params.windows.y;
    var sum = 0.0;
    for (var r = w.first.x; r <= w.last.x; r += 1) {
        for (var c = w.first.y; c <= w.last.y; c += 1) {
            let o = base + u32(r) * params.windows.y + u32(c);
            if indices[o] == own {
                sum += g[params.offset + o];
            }
        }
    }
    dx[params.result_offset + i] = sum;
}
