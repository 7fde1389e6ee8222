// The mean of every window. `forward` is a thread a window, `by_group` a workgroup a window; `backward`, a thread an
// element of the input, adds up its shares of the gradients of the windows that it is in. Numbers are what `common/words` or
// `common/half_words` says; a thread makes a word, which only `by_group` does not do of halves.
#import common/index
#import common/group
#import common/pool

@group(0) @binding(0) var<storage, read> x: array<word>;
@group(0) @binding(1) var<storage, read_write> y: array<word>;

fn read_x(at: u32) -> f32 {
    return number(x[word_at(at)], at);
}

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

fn mean_of(i: u32) -> f32 {
    let o = place_of(i, params.windows);
    let w = window(o.at);
    let base = plane_offset(o.plane);
    var sum = 0.0;
    for (var r = w.first.x; r < w.end.x; r += 1u) {
        for (var c = w.first.y; c < w.end.y; c += 1u) {
            sum += read_x(base + r * params.strides.z + c * params.strides.w);
        }
    }
    return sum / divisor(o.at);
}

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = PER_WORD * linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    var second = 0.0;
    if PER_WORD == 2u && i + 1u < params.n {
        second = mean_of(i + 1u);
    }
    y[word_at(i)] = word_of(mean_of(i), second);
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
        sum += read_x(base + at.x * params.strides.z + at.y * params.strides.w);
    }
    let total = group_sum(local, sum);
    if local == 0u {
        y[i] = whole_word(total / divisor(o.at));
    }
}

fn gradient_of(i: u32) -> f32 {
    let e = place_of(i, params.size);
    let w = windows_of(e.at);
    let base = params.offset + e.plane * params.windows.x * params.windows.y;
    var sum = 0.0;
    for (var r = w.first.x; r <= w.last.x; r += 1) {
        for (var c = w.first.y; c <= w.last.y; c += 1) {
            let o = vec2<u32>(vec2(r, c));
            sum += read_x(base + o.x * params.windows.y + o.y) / divisor(o);
        }
    }
    return sum;
}

@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = PER_WORD * linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    var second = 0.0;
    if PER_WORD == 2u && i + 1u < params.n {
        second = gradient_of(i + 1u);
    }
    y[word_at(params.result_offset + i)] = word_of(gradient_of(i), second);
}
