// A convolution from its definition, a thread an element of y: for few channels a group, as in depthwise convolutions.
#import common/index
#import common/convolution

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let channels = params.groups * params.rows;
    var rest = linear_id(group, groups, local);
    let column = rest % params.out_size.y;
    rest /= params.out_size.y;
    let line = rest % params.out_size.x;
    rest /= params.out_size.x;
    let channel = rest % channels;
    let image = rest / channels;
    if image >= params.batch {
        return;
    }
    let of_group = channel / params.rows;
    let row = channel % params.rows;
    let first = vec2<i32>(vec2<u32>(line, column) * params.stride) + params.origin;
    let x_at = params.offsets.x + image * params.x_strides.x + of_group * params.channels * params.x_strides.y;
    let w_at = i32(params.offsets.y + of_group * params.w_group) + i32(row) * params.w_strides.x;

    var sum = 0.0;
    for (var r = 0u; r < params.taps.x; r += 1u) {
        let h = u32(first.x + i32(r) * params.dilation.x);
        if h >= params.in_size.x {
            continue;
        }
        for (var s = 0u; s < params.taps.y; s += 1u) {
            let v = u32(first.y + i32(s) * params.dilation.y);
            if v >= params.in_size.y {
                continue;
            }
            let from_x = x_at + h * params.x_strides.z + v * params.x_strides.w;
            let from_w = w_at + i32(r) * params.w_strides.z + i32(s) * params.w_strides.w;
            for (var c = 0u; c < params.channels; c += 1u) {
                sum = fma(x[from_x + c * params.x_strides.y], w[u32(from_w + i32(c) * params.w_strides.y)], sum);
            }
        }
    }
    store(image * params.y_strides.x + line * params.y_strides.z + column * params.y_strides.w, of_group, row, sum);
}
