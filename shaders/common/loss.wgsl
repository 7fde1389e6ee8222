// Losses of elements against targets: up to four strided operands and the upstream gradient, over the broadcast shape.
#import common/index

struct Params {
    n: u32,
    rank: u32,
    // elements that a workgroup adds up
    part: u32,
    // bit 0: there is a weight, bit 1: there is a weight of positives
    given: u32,
    // numbers of the loss, and what every loss is multiplied by
    numbers: vec4<f32>,
    // first elements of input, target, weight and weight of positives; then of upstream gradient and result
    offsets: array<vec4<u32>, 2>,
    shape: array<vec4<u32>, 2>,
    // of input, target, weight, weight of positives and upstream gradient, two vectors each
    strides: array<vec4<u32>, 10>,
}
@group(0) @binding(8) var<uniform> params: Params;

// Where element `i` of an operand lies.
fn operand_offset(i: u32, operand: u32) -> u32 {
    let base = operand * 2u;
    let first = params.offsets[operand >> 2u][operand & 3u];
    if params.rank <= 1u {
        return first + i * params.strides[base].x;
    }
    var rest = i;
    var offset = first;
    for (var d = params.rank - 1u; d > 0u; d -= 1u) {
        let size = params.shape[d >> 2u][d & 3u];
        let next = divide(rest, size);
        offset += (rest - next * size) * params.strides[base + (d >> 2u)][d & 3u];
        rest = next;
    }
    return offset + rest * params.strides[base].x;
}

// Where element `i` of the result lies.
fn result_offset(i: u32) -> u32 {
    return params.offsets[1].y + i;
}

// An input, its target, and how much a positive weighs.
struct Element {
    x: f32,
    t: f32,
    p: f32,
}
