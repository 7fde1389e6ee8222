// What the kernels of a convolution share: bindings, and how an element is stored.
#import common/convolution_params

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Writes channel `row` of a group at an offset in y, with the bias.
fn store(at: u32, group: u32, row: u32, sum: f32) {
    let channel = group * params.rows + row;
    var value = sum;
    if params.has_bias != 0u {
        value += bias[params.offsets.z + channel * params.bias_stride];
    }
    y[params.offsets.w + at + channel * params.y_strides.y] = value;
}
