// Resampling of up to three dims. Where each result's elements lie along a dim, and what they weigh, is read from `table`,
// which the host fills. `forward` is a thread a result; `backward`, a thread an element of the input, adds up its shares of
// the results that it is in, in their order.
#import common/index

struct Params {
    // results of the dispatch; channels of a sample; first elements
    n: u32,
    channels: u32,
    offset: u32,
    result_offset: u32,
    // the input's steps between samples and channels; the most terms of a sum; unused
    planes: vec4<u32>,
    // for depth, rows and columns: the input's steps, sizes of input and result, elements that make a result
    steps: vec4<u32>,
    size: vec4<u32>,
    resized: vec4<u32>,
    taps: vec4<u32>,
    // where the table has pairs of element and weight for every place of the result, and first and last place (behind it)
    // for every element
    pairs: vec4<u32>,
    spans: vec4<u32>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// A place in one of many volumes.
struct Place {
    plane: u32,
    at: vec3<u32>,
}

fn place_of(i: u32, size: vec3<u32>) -> Place {
    let row = divide(i, size.z);
    let slice = divide(row, size.y);
    let plane = divide(slice, size.x);
    return Place(plane, vec3(slice - plane * size.x, row - slice * size.y, i - row * size.z));
}

@compute @workgroup_size(WG)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let o = place_of(i, params.resized.xyz);
    let sample = divide(o.plane, params.channels);
    let base = params.offset + sample * params.planes.x + (o.plane - sample * params.channels) * params.planes.y;
    let pairs = params.pairs.xyz + 2u * params.taps.xyz * o.at;
    var sum = 0.0;
    for (var a = 0u; a < params.taps.x; a += 1u) {
        let depth = base + table[pairs.x + 2u * a] * params.steps.x;
        let by_depth = bitcast<f32>(table[pairs.x + 2u * a + 1u]);
        for (var b = 0u; b < params.taps.y; b += 1u) {
            let row = depth + table[pairs.y + 2u * b] * params.steps.y;
            let by_row = by_depth * bitcast<f32>(table[pairs.y + 2u * b + 1u]);
            for (var c = 0u; c < params.taps.z; c += 1u) {
                let weight = by_row * bitcast<f32>(table[pairs.z + 2u * c + 1u]);
                sum += weight * x[row + table[pairs.z + 2u * c] * params.steps.z];
            }
        }
    }
    y[i] = sum;
}

// What element `own` of dim `d` weighs in place `o` of the result.
fn weight(d: u32, o: u32, own: u32) -> f32 {
    let first = params.pairs[d] + 2u * params.taps[d] * o;
    var sum = 0.0;
    for (var t = 0u; t < params.taps[d]; t += 1u) {
        if table[first + 2u * t] == own {
            sum += bitcast<f32>(table[first + 2u * t + 1u]);
        }
    }
    return sum;
}

@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let e = place_of(i, params.size.xyz);
    let base = params.offset + e.plane * params.resized.x * params.resized.y * params.resized.z;
    let spans = params.spans.xyz + 2u * e.at;
    var sum = 0.0;
    for (var a = table[spans.x]; a < table[spans.x + 1u]; a += 1u) {
        let by_depth = weight(0u, a, e.at.x);
        for (var b = table[spans.y]; b < table[spans.y + 1u]; b += 1u) {
            let by_row = by_depth * weight(1u, b, e.at.y);
            let row = base + (a * params.resized.y + b) * params.resized.z;
            for (var c = table[spans.z]; c < table[spans.z + 1u]; c += 1u) {
                sum += by_row * weight(2u, c, e.at.z) * x[row + c];
            }
        }
    }
    y[params.result_offset + i] = sum;
}
