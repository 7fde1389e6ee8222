// Params of the kernels of the gradient of a convolution's weight. An element of it is a sum over all places (image, h,
// w) of g; the places are split into parts, each part makes a whole gradient, and the parts are summed afterwards.

struct Params {
    // places of g in all, of one part, and how many parts
    places: u32,
    part: u32,
    splits: u32,
    groups: u32,
    // channels of a group in g and in x
    rows: u32,
    channels: u32,
    // sizes (h, w) of the kernel, of x and of g
    taps: vec2<u32>,
    in_size: vec2<u32>,
    out_size: vec2<u32>,
    // place p of g and tap t read place p * stride + t * dilation + origin of x
    stride: vec2<u32>,
    dilation: vec2<i32>,
    origin: vec2<i32>,
    // first place of the first part
    first: u32,
    // steps in x and g: image, channel, h, w
    x_strides: vec4<u32>,
    g_strides: vec4<u32>,
    // first elements of g, x and the result
    offsets: vec4<u32>,
}
@group(0) @binding(8) var<uniform> params: Params;

// The places of a part: the first one, and one past the last.
fn places_of(split: u32) -> vec2<u32> {
    let first = params.first + split * params.part;
    return vec2<u32>(first, min(first + params.part, params.places));
}

// Where a place lies: image, h, w.
fn place_at(place: u32) -> vec3<u32> {
    let line = place / params.out_size.y;
    return vec3<u32>(line / params.out_size.x, line % params.out_size.x, place % params.out_size.y);
}
