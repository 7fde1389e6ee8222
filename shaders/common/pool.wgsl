// Windows over the last two dims, and where their elements lie. From the prelude: ADAPTIVE (1 if the windows divide the
// input evenly, 0 if they have a size and steps).
#import common/index

struct Params {
    // results of the dispatch; channels of a sample; first elements
    n: u32,
    channels: u32,
    offset: u32,
    result_offset: u32,
    // the input's steps between samples, channels, rows and columns
    strides: vec4<u32>,
    // rows and columns of the input, and of windows
    size: vec2<u32>,
    windows: vec2<u32>,
    kernel: vec2<u32>,
    stride: vec2<u32>,
    pad: vec2<u32>,
    dilation: vec2<u32>,
    // averages: what is divided by, unless 0; whether padding counts as elements
    divisor: f32,
    count_padding: u32,
    // planes of the dispatch
    planes: u32,
    spare: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

// A place in one of many planes.
struct Place {
    plane: u32,
    at: vec2<u32>,
}

fn divide2(a: vec2<u32>, d: vec2<u32>) -> vec2<u32> {
    return vec2(divide(a.x, d.x), divide(a.y, d.y));
}

// Number `i` of planes with so many rows and columns.
fn place_of(i: u32, size: vec2<u32>) -> Place {
    let row = divide(i, size.y);
    let plane = divide(row, size.x);
    return Place(plane, vec2(row - plane * size.x, i - row * size.y));
}

// The first element of a plane of the input.
fn plane_offset(plane: u32) -> u32 {
    if params.channels == 1u {
        return params.offset + plane * params.strides.x;
    }
    let sample = divide(plane, params.channels);
    return params.offset + sample * params.strides.x + (plane - sample * params.channels) * params.strides.y;
}

// Rows and columns from `first` up to, not including, `end`.
struct Window {
    first: vec2<u32>,
    end: vec2<u32>,
}

// The elements of the input in window `o`; their steps are the dilation.
fn window(o: vec2<u32>) -> Window {
    if ADAPTIVE == 1u {
        let first = divide2(o * params.size, params.windows);
        return Window(first, divide2((o + 1u) * params.size + params.windows - 1u, params.windows));
    }
    let start = vec2<i32>(o * params.stride) - vec2<i32>(params.pad);
    let end = min(start + vec2<i32>(params.kernel * params.dilation), vec2<i32>(params.size));
    var first = max(start, vec2(0));
    if any(params.dilation != vec2(1u)) {
        // The first tap that lies in the input.
        let step = vec2<i32>(params.dilation);
        first = select(start, start + (step - 1 - start) / step * step, start < vec2(0));
    }
    return Window(vec2<u32>(first), vec2<u32>(max(end, vec2(0))));
}

// The windows that may hold an element, first and last in either dim; there are none where last < first.
struct Windows {
    first: vec2<i32>,
    last: vec2<i32>,
}

fn windows_of(at: vec2<u32>) -> Windows {
    if ADAPTIVE == 1u {
        let last = divide2((at + 1u) * params.windows + params.size - 1u, params.size) - 1u;
        return Windows(vec2<i32>(divide2(at * params.windows, params.size)), vec2<i32>(last));
    }
    let reach = at + params.pad;
    let span = (params.kernel - 1u) * params.dilation;
    let first = divide2(max(reach, span) - span + params.stride - 1u, params.stride);
    let last = min(divide2(reach, params.stride), params.windows - 1u);
    return Windows(vec2<i32>(first), vec2<i32>(last));
}
