// The gradient of a p-norm y of magnitudes |x|: g sign(x) (|x| / y)^(p − 1), 0 where the norm is 0. KIND is as in
// vector_norm.wgsl, `scalars.x` holds the bits of p − 1. For extremes g is the share of one that equals the norm.
#import common/index
#import common/math
#import common/elementwise

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn gradient(v: f32, whole: f32, upstream: f32) -> f32 {
    let size = bitcast<u32>(v) & 0x7fffffffu;
    let negative = bitcast<u32>(v) >= 0x80000000u;
    let signed = select(select(upstream, -upstream, negative), 0.0, size == 0u);
    if KIND == 1u {
        return signed;
    }
    if KIND == 3u || KIND == 4u {
        return select(0.0, signed, size == bitcast<u32>(whole));
    }
    if bitcast<u32>(whole) == 0u || KIND == 0u {
        return 0.0;
    }
    if KIND == 2u {
        return upstream * lg_divide(v, whole);
    }
    if size == 0u {
        return 0.0;
    }
    let exponent = bitcast<f32>(params.scalars.x);
    let share = lg_divide(abs(v), whole);
    if bitcast<u32>(share) < 0x00800000u && is_finite(whole) {
        // The share leaves the range, its power need not.
        return lg_pow_times(abs(v), exponent, signed, lg_pow(whole, -exponent));
    }
    return lg_pow_times(share, exponent, signed, 1.0);
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
    let at = operand_offsets(i);
    let v = x[at.x];
    let d = gradient(v, y[at.y], g[at.z]);
    dx[result_offset(i)] = bitcast<f32>(select(bitcast<u32>(d), 0x7fc00000u, is_nan(v)));
}
