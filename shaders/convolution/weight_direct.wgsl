// The gradient of a convolution's weight from its definition, a thread an element of a part: for few channels a group.
#import common/index
#import common/convolution_weight

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = linear_id(group, groups, local);
    var rest = id;
    let s = rest % params.taps.y;
    rest /= params.taps.y;
    let r = rest % params.taps.x;
    rest /= params.taps.x;
    let c = rest % params.channels;
    rest /= params.channels;
    let row = rest % (params.groups * params.rows);
    let split = rest / (params.groups * params.rows);
    if split >= params.splits {
        return;
    }
    let tap = vec2<i32>(vec2<u32>(r, s)) * params.dilation + params.origin;
    let g_at = params.offsets.x + row * params.g_strides.y;
    let x_at = params.offsets.y + (row / params.rows * params.channels + c) * params.x_strides.y;

    var sum = 0.0;
    let places = places_of(split);
    var place = places.x;
    while place < places.y {
        // The rest of a line, or of the part.
        let at = place_at(place);
        let count = min(params.out_size.y - at.z, places.y - place);
        place += count;
        let h = u32(i32(at.y * params.stride.x) + tap.x);
        if h >= params.in_size.x {
            continue;
        }
        var from_g = g_at + at.x * params.g_strides.x + at.y * params.g_strides.z + at.z * params.g_strides.w;
        let from_x = x_at + at.x * params.x_strides.x + h * params.x_strides.z;
        var v = i32(at.z * params.stride.y) + tap.y;
        for (var i = 0u; i < count; i += 1u) {
            if u32(v) < params.in_size.y {
                sum = fma(read_g(from_g), read_x(from_x + u32(v) * params.x_strides.w), sum);
            }
            from_g += params.g_strides.w;
            v += i32(params.stride.y);
        }
    }
    y[params.offsets.z + id] = sum;
}
