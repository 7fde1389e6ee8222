// Bytes, four to a word, the first in the lowest bits: y = byte / divisor + shift.
#import common/index
#import common/math

struct Params {
    n: u32,
    // the first word
    offset: u32,
    divisor: f32,
    shift: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

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
    let byte = (words[params.offset + (i >> 2u)] >> ((i & 3u) * 8u)) & 0xffu;
    // The quotient is rounded before the sum, as in two operations of PyTorch.
    let quotient = lg_keep(lg_div(f32(byte), params.divisor, 0.0));
    y[i] = quotient + params.shift;
}
