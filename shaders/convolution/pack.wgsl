// Copies a tensor of four dims into lines of whole vectors, where the last two dims get zeros round what there is: so the
// kernels that read vectors of four can read every image and every weight. A thread a vector.
#import common/index

struct Params {
    // vectors, and the sizes of the result: the last in vectors
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
@group(1) @binding(0) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

fn load(line: u32, column: u32, inside: bool) -> f32 {
    let exists = inside && column < params.in_size.y;
    return select(0.0, x[select(0u, line + column * params.strides.w, exists)], exists);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let lines = divide(i, params.shape.w);
    let planes = divide(lines, params.shape.z);
    let images = divide(planes, params.shape.y);
    // Below 0 they wrap round, and are outside too.
    let place = vec4<u32>(images, planes - images * params.shape.y, lines - planes * params.shape.z, i - lines * params.shape.w);
    let h = place.z + u32(params.origin.x);
    let v = 4u * place.w + u32(params.origin.y);
    let inside = h < params.in_size.x;
    let line = params.offset + place.x * params.strides.x + place.y * params.strides.y + h * params.strides.z;
    y[dot(place, params.y_strides)] = vec4<f32>(
        load(line, v, inside),
        load(line, v + 1u, inside),
        load(line, v + 2u, inside),
        load(line, v + 3u, inside),
    );
}
