// What the kernels of the gradient of a convolution's weight share.
#import common/convolution_weight_params

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
