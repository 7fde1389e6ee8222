// Params of the kernels of a convolution. The same kernels run a convolution and the way back through it: what differs is
// strides, origins and the order of the taps.
struct Params {
    batch: u32,
    groups: u32,
    // channels of a group in y and in x
    rows: u32,
    channels: u32,
    // sizes (h, w) of the kernel, of x and of y
    taps: vec2<u32>,
    in_size: vec2<u32>,
    out_size: vec2<u32>,
    // place p of y and tap t read place p * stride + t * dilation + origin of x
    stride: vec2<u32>,
    dilation: vec2<i32>,
    origin: vec2<i32>,
    // steps in x and y: image, channel, h, w
    x_strides: vec4<u32>,
    y_strides: vec4<u32>,
    // steps in w: channel of y, channel of x, h, w
    w_strides: vec4<i32>,
    // first elements of x, w, bias and y
    offsets: vec4<u32>,
    // step in w from group to group
    w_group: u32,
    bias_stride: u32,
    has_bias: u32,
    // where x and w are halves: whether y is too, or f32
    result_is_half: u32,
}
@group(0) @binding(8) var<uniform> params: Params;
