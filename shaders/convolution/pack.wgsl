// Copies a tensor of four dims into lines of whole vectors, where the last two dims get zeros round what there is: so the
// kernels that read vectors of four can read every image and every weight. A thread a vector, which `pack_place.wgsl`
// finds.
// Numbers of x are what `common/words` or `common/half_words` says.
#import common/index

@group(0) @binding(0) var<storage, read> x: array<word>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

const COUNT: u32 = 1u;

fn load(line: u32, column: u32, inside: bool) -> f32 {
    let exists = inside && column < params.in_size.y;
    let at = select(0u, line + column * params.strides.w, exists);
    return select(0.0, number(x[word_at(at)], at), exists);
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
    let place = place_of(i);
    let v = 4u * place.first + u32(params.origin.y);
    y[place.to + place.first] = vec4<f32>(
        load(place.line, v, place.inside),
        load(place.line, v + 1u, place.inside),
        load(place.line, v + 2u, place.inside),
        load(place.line, v + 3u, place.inside),
    );
}
