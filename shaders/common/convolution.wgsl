// What the kernels of a convolution share: params, bindings, where things start, and how an element is stored. The same
// kernels run a convolution and the way back through it: what differs is strides, origins and the order of the taps.

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
}
@group(1) @binding(0) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Writes channel `row` of a group at an offset in y, with the bias.
fn store(at: u32, group: u32, row: u32, sum: f32) {
    let channel = group * params.rows + row;
    var value = sum;
    if params.has_bias != 0u {
        value += bias[params.offsets.z + channel * params.bias_stride];
    }
    y[params.offsets.w + at + channel * params.y_strides.y] = value;
}
