// Where the vectors lie that a thread of `pack.wgsl` or `pack_lines.wgsl` copies: up to `COUNT` neighbours of a line.
#import common/index

struct Params {
    // threads, and the sizes of the result: the last in vectors
    n: u32,
    offset: u32,
    spare: vec2<u32>,
    shape: vec4<u32>,
    // place p of the last two dims is place p + origin of x
    origin: vec2<i32>,
    in_size: vec2<u32>,
    // steps in x, and in the result in vectors
    strides: vec4<u32>,
    y_strides: vec4<u32>,
}
@group(0) @binding(8) var<uniform> params: Params;

struct Place {
    // the first element of the line in x, and whether x has the line
    line: u32,
    inside: bool,
    // the first vector of the line in the result, and the thread's first in it
    to: u32,
    first: u32,
}

fn place_of(i: u32) -> Place {
    let parts = (params.shape.w + COUNT - 1u) / COUNT;
    let lines = divide(i, parts);
    let planes = divide(lines, params.shape.z);
    let images = divide(planes, params.shape.y);
    let place = vec3<u32>(images, planes - images * params.shape.y, lines - planes * params.shape.z);
    // Below 0 it wraps round, and is outside too.
    let h = place.z + u32(params.origin.x);
    return Place(
        params.offset + dot(place.xy, params.strides.xy) + h * params.strides.z,
        h < params.in_size.x,
        dot(place, params.y_strides.xyz),
        COUNT * (i - lines * parts),
    );
}
