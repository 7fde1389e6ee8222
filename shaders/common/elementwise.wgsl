// Params and offsets of kernels that treat elements one by one: up to three strided operands, a contiguous result.

#import common/index

struct Params {
    n: u32,
    rank: u32,
    // two more numbers, for kernels that need more than `scalars` holds
    extra: vec2<u32>,
    // bits of numbers that every element meets, of type `elem`
    scalars: vec4<u32>,
    // first elements of the operands, and of the result
    offsets: vec4<u32>,
    // dims are merged on the host; uniform arrays have 16-byte elements, so eight dims are two vectors
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 6>,
}
@group(0) @binding(8) var<uniform> params: Params;

// Where element `i` of an operand lies.
fn operand_offset(i: u32, operand: u32) -> u32 {
    let base = operand * 2u;
    let first = params.offsets[operand];
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

// Where element `i` of each operand lies, in one walk: each a number of its own, so that those that nobody asks for cost nothing.
fn operand_offsets(i: u32) -> vec3<u32> {
    var rest = i;
    var x = params.offsets.x;
    var y = params.offsets.y;
    var z = params.offsets.z;
    for (var d = max(params.rank, 1u) - 1u; d > 0u; d -= 1u) {
        let four = d >> 2u;
        let size = params.shape[four][d & 3u];
        let next = divide(rest, size);
        let place = rest - next * size;
        x += place * params.strides[four][d & 3u];
        y += place * params.strides[2u + four][d & 3u];
        z += place * params.strides[4u + four][d & 3u];
        rest = next;
    }
    return vec3<u32>(x, y, z) + rest * vec3<u32>(params.strides[0].x, params.strides[2].x, params.strides[4].x);
}

// Where element `i` of the result lies.
fn result_offset(i: u32) -> u32 {
    return params.offsets.w + i;
}

// Where the vector of elements 4i to 4i + 3 of the result lies.
fn result_quad(i: u32) -> u32 {
    return (params.offsets.w >> 2u) + i;
}
