// Copies images whose lines are whole vectors into ones whose lines are not: the way back from `pack.wgsl`. A thread
// four vectors of a line.
#import common/index

struct Params {
    // threads, and the sizes of x: the last in vectors
    n: u32,
    offset: u32,
    spare: vec2<u32>,
    shape: vec4<u32>,
    // sizes of the last two dims of y
    out_size: vec2<u32>,
    more: vec2<u32>,
    strides: vec4<u32>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

const COUNT: u32 = 4u;

// Writes four places of a line from column `v` on. What is beyond its end is its last place again: a store costs the same with
// a branch round it.
fn store(line: u32, v: u32, values: vec4<f32>) {
    let last = params.out_size.y - 1u;
    let step = params.strides.w;
    y[line + v * step] = values.x;
    let b = select(values.x, values.y, v + 1u <= last);
    y[line + min(v + 1u, last) * step] = b;
    let c = select(b, values.z, v + 2u <= last);
    y[line + min(v + 2u, last) * step] = c;
    y[line + min(v + 3u, last) * step] = select(c, values.w, v + 3u <= last);
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
    let parts = (params.shape.w + COUNT - 1u) / COUNT;
    let lines = divide(i, parts);
    let planes = divide(lines, params.shape.z);
    let images = divide(planes, params.shape.y);
    let place = vec3<u32>(images, planes - images * params.shape.y, lines - planes * params.shape.z);
    let line = params.offset + dot(place, params.strides.xyz);
    let from_x = lines * params.shape.w;
    // Beyond the line's last vector it is that one again.
    let last = params.shape.w - 1u;
    let v0 = COUNT * (i - lines * parts);
    let v1 = min(v0 + 1u, last);
    let v2 = min(v0 + 2u, last);
    let v3 = min(v0 + 3u, last);
    store(line, 4u * v0, x[from_x + v0]);
    store(line, 4u * v1, x[from_x + v1]);
    store(line, 4u * v2, x[from_x + v2]);
    store(line, 4u * v3, x[from_x + v3]);
}
