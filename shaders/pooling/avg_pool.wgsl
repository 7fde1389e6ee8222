// The mean of every window. `forward` is a thread a window, `by_group` a workgroup a window; `backward`, a thread an
// element of the input, adds up its shares of the gradients of the windows that it is in.
#import common/index
#import common/group
#import common/pool

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// What the sum of window `o` is divided by.
fn divisor(o: vec2<u32>) -> f32 {
    if ADAPTIVE == 1u {
        let w = window(o);
        return f32((w.end.x - w.first.x) * (w.end.y - w.first.y));
    }
    if params.divisor != 0.0 {
        return params.divisor;
    }
    let start = vec2<i32>(o * params.stride) - vec2<i32>(params.pad);
    let size = vec2<i32>(params.size);
    let reach = start + vec2<i32>(params.kernel);
    let padded = min(reach, size + vec2<i32>(params.pad)) - start;
    let inside = min(reach, size) - max(start, vec2(0));
    let count = select(inside, padded, params.count_padding == 1u);
    return f32(count.x * count.y);
}

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let o = place_of(i, params.windows);
    let w = window(o.at);
    let base = plane_offset(o.plane);
    var sum = 0.0;
    for (var r = w.first.x; r < w.end.x; r += 1u) {
        for (var c = w.first.y; c < w.end.y; c += 1u) {
            sum += x[base + r * params.strides.z + c * params.strides.w];
        }
    }
    y[i] = sum / divisor(o.at);
}

@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if i >= params.n {
        return;
    }
    let o = place_of(i, params.windows);
    let w = window(o.at);
    let base = plane_offset(o.plane);
    let taps = w.end - w.first;
    var sum = 0.0;
    for (var t = local; t < taps.x * taps.y; t += WG) {
        let at = w.first + vec2(t / taps.y, t % taps.y);
        sum += x[base + at.x * params.strides.z + at.y * params.strides.w];
    }
    let total = group_sum(local, sum);
    if local == 0u {
        y[i] = total / divisor(o.at);
    }
}

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
    let w = windows_of(e.at);
    let base = params.offset + e.plane * params.windows.x * params.windows.y;
    var sum = 0.0;
    for (var r = w.first.x; r <= w.last.x; r += 1) {
        for (var c = w.first.y; c <= w.last.y; c += 1) {
            let o = vec2<u32>(vec2(r, c));
            sum += x[base + o.x * params.windows.y + o.y] / divisor(o);
        }
    }
    y[params.result_offset + i] = sum;
}
