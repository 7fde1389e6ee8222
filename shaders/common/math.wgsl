// Portable f32 mathematics.
//
// Drivers differ in exp, log, tanh, sin and the rest, often by far more than rounding: Vulkan grants exp 3 + 2|x| ulp,
// log an absolute 2^-21 near 1, sin and cos an absolute 2^-11, division 2.5 ulp; tanh overflows to NaN on several
// drivers. So everything here is built from + - * and integer operations on the bits; the only built-ins are round,
// trunc, abs, min, max, clamp and, where said, one division or square root whose error is then corrected or damped.
//
// What compilers do to float code, and how it is met:
// - a * b + c may be fused or not: products whose exact value matters have few enough bits to be exact, so both give
//   the same result;
// - "fast" modes (Metal's default) reorder sums and cancel (a + b) - a: `lg_keep` hides a value from the optimiser
//   wherever that would cost accuracy, at the price of one integer instruction;
// - NaN and infinity are assumed away: they are recognised and produced by their bits, never by comparison;
// - denormals may be flushed on the way in or out: then a result below 1e-37 is right to the smallest normal number, not
//   to its own last place. Nothing else depends on them, and log reads them by their bits.
//
// `cargo bench --bench math` prints the largest errors, and those of the driver's own functions.
// In each function's comment, "ulp" is the largest error measured against f64 on lavapipe over the range named, in units
// of the last place of the exact result; contracted, reordered (gcc -ffast-math) and with division and square root off by
// 2 ulp, the figures grow by 0.5 at most. Coefficients are minimax fits (Remez-type, rounded to f32 low order first).


// ---- bits ----------------------------------------------------------------------------------------------------------

/// A quiet NaN. A variable, since a constant expression that is NaN is an error in WGSL.
fn nan_f32() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

/// Positive infinity.
fn inf_f32() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

/// x itself, but opaque to algebraic rewriting and to contraction: the minimum changes one NaN into another and nothing
/// else, which no compiler looks through.
fn lg_keep(x: f32) -> f32 {
    return bitcast<f32>(min(bitcast<u32>(x), 0xfffffffeu));
}

/// 2 a b, rounded once. Of the factors the small one is doubled, which neither overflows nor loses what is flushed unless the
/// result does.
fn lg_double_product(a: f32, b: f32) -> f32 {
    return select(b * lg_keep(2.0 * a), a * lg_keep(2.0 * b), abs(b) < 1.0);
}

/// x / y. Vulkan answers for a division only where |y| is between 2^-126 and 2^126: outside of it both are scaled first.
fn lg_divide(x: f32, y: f32) -> f32 {
    let exponent = (bitcast<u32>(y) >> 23u) & 0xffu;
    let scale = select(select(1.0, 16777216.0, exponent < 27u), 5.9604645e-08, exponent >= 251u);
    return lg_keep(x * scale) / lg_keep(y * scale);
}

/// The leading 12 bits of the significand of x; x - lg_top(x) is exact and has the other 12.
fn lg_top(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

/// |magnitude| with the sign of `sign`.
fn lg_copysign(magnitude: f32, sign: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(magnitude) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}

/// a * b - c for c within a few ulp of a * b, with an error below 2^-35 |a * b|: Dekker's product (1971), a and b cut in
/// halves so that the leading product is exact and the first difference too.
fn lg_mul_minus(a: f32, b: f32, c: f32) -> f32 {
    let a_top = lg_top(a);
    let b_top = lg_top(b);
    let first = lg_keep(a_top * b_top - c);
    return (first + a_top * (b - b_top)) + (a - a_top) * b;
}

/// n / (d + d_low) for normal operands with a normal quotient, |d_low| <= ulp(d): one Newton step on whatever the driver's
/// division gives, so that the error is about 0.5 ulp even where division is only good to 2.5.
fn lg_div(n: f32, d: f32, d_low: f32) -> f32 {
    let reciprocal = 1.0 / d;
    let q = lg_keep(n * reciprocal);
    return q - (lg_mul_minus(q, d, n) + q * d_low) * reciprocal;
}

/// Square root, 0.501 ulp: one Newton step on the driver's, which Vulkan lets be off by several ulp. NaN for x < 0.
fn lg_sqrt(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let small = bits < 0x20000000u;
    let v = x * select(1.0, 1.8446744e+19, small);
    let r = lg_keep(sqrt(v));
    let better = (r - lg_mul_minus(r, r, v) * (0.5 / r)) * select(1.0, 2.32830644e-10, small);
    let special = ((bits << 1u) == 0u) | (bits == 0x7f800000u) | (v == 0.0);
    let result = select(bitcast<u32>(better), bits, special);
    return bitcast<f32>(select(result, 0x7fc00000u, (bits > 0x80000000u) | is_nan(x)));
}


// ---- exponential ---------------------------------------------------------------------------------------------------

/// e^r - 1 for |r| <= 0.347: r + r^2 Q(r), Q minimax of degree 5, relative error 2^-31.
fn lg_expm1_reduced(r: f32) -> f32 {
    var q = 0.000197625719;
    q = q * r + 0.00139323308;
    q = q * r + 0.00833354518;
    q = q * r + 0.0416664928;
    q = q * r + 0.166666657;
    q = q * r + 0.5;
    return r + (r * r) * q;
}

/// p * 2^k for 0.5 <= p < 2 and -180 <= k <= 129, by adding to the exponent's bits; infinity on overflow; below 2^-125 by
/// one more multiplication, which rounds to a denormal or is flushed.
fn lg_scale(p: f32, k: i32) -> f32 {
    let low = k < -125;
    let shift = bitcast<u32>(select(k, k + 64, low)) << 23u;
    let scaled = bitcast<f32>(min(bitcast<u32>(p) + shift, 0x7f800000u));
    return scaled * select(1.0, 5.42101086e-20, low);
}

/// e^(hi + lo) for -110 <= hi <= 89.4 and |lo| small beside 1: k = round(hi / ln 2), and ln 2 in two parts of which the first
/// has 15 bits, so that k times it is exact (Cody and Waite 1980).
fn lg_exp_pair(hi: f32, lo: f32) -> f32 {
    let parts = lg_exp_parts(hi, lo);
    return lg_scale(parts.m, parts.k);
}

/// exp(hi + lo) as m 2^k with m between 0.7 and 1.42, before it is put together.
fn lg_exp_parts(hi: f32, lo: f32) -> LgParts {
    let k = round(hi * 1.44269502);
    let first = lg_keep(hi - k * 0.693145752);
    let r = first - (k * 1.42860677e-06 - lo);
    return LgParts(1.0 + lg_keep(lg_expm1_reduced(r)), i32(k));
}

/// e^x. Overflows to infinity above 88.7228, as it should; results below 2^-126 are denormal or 0.
/// 0.95 ulp everywhere.
fn lg_exp(x: f32) -> f32 {
    let y = lg_exp_pair(clamp(x, -104.0, 89.0), 0.0);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// m 2^k by, e^x being m 2^k: the factor is put in between halves of the exponent, so that nothing on the way is below 2^-126
/// or overflows unless the product does. 0 by below -150 and inf by above 174, where that is the product for all factors.
fn lg_parts_times(parts: LgParts, by: f32, x: f32) -> f32 {
    let last = (parts.k + select(0, 1, parts.k < 0)) >> 1u;
    let start = bitcast<f32>(bitcast<u32>(parts.m) + (bitcast<u32>(parts.k - last) << 23u));
    let unit = bitcast<f32>(bitcast<u32>(last + 127) << 23u);
    let end = select(select(unit, 0.0, x < -150.0), inf_f32(), x > 174.0);
    return lg_keep(start * by) * end;
}

/// e^x by, also where e^x alone is denormal, which would cost its digits or, where those are flushed, all of it.
/// lg_exp's error and a rounding.
fn lg_exp_times(x: f32, by: f32) -> f32 {
    let y = lg_parts_times(lg_exp_parts(clamp(x, -150.0, 174.0), 0.0), by, x);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// e^(-scale x^2) for a scale of 1 or 1/2, x^2 as a pair: rounded to one float its error would count x^2 times.
/// About 1 ulp everywhere.
fn lg_exp_square(x: f32, scale: f32) -> f32 {
    let c = clamp(x, -16.0, 16.0);
    let square = lg_keep(c * c);
    let low = lg_mul_minus(c, c, square);
    let inside = scale * square < 110.0;
    let y = lg_exp_pair(max(-scale * square, -110.0), select(0.0, -scale * low, inside));
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// e^(-scale x^2) by, as in `lg_exp_times`.
fn lg_exp_square_times(x: f32, scale: f32, by: f32) -> f32 {
    let c = clamp(x, -16.0, 16.0);
    let square = lg_keep(c * c);
    let low = select(0.0, -scale * lg_mul_minus(c, c, square), scale * square < 150.0);
    let power = -scale * square;
    let y = lg_parts_times(lg_exp_parts(max(power, -150.0), low), by, power);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// e^x - 1: x = k ln 2 + r, then 2^k (e^r - 1) + (2^k - 1), halved on the way so that k = 128 does not overflow
/// (fdlibm's s_expm1, with a plain polynomial). 1.42 ulp everywhere.
fn lg_expm1(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let c = clamp(x, -20.0, 89.0);
    let k = round(c * 1.44269502);
    let first = lg_keep(c - k * 0.693145752);
    let p = lg_expm1_reduced(first - k * 1.42860677e-06);
    let half_scale = bitcast<f32>(bitcast<u32>(i32(k) + 126) << 23u);
    var y = bitcast<u32>(2.0 * (half_scale * p + lg_keep(half_scale - 0.5)));
    y = select(y, 0x7f800000u, bitcast<i32>(x) > 0x42b17217);
    y = select(y, bits, (bits & 0x7fffffffu) < 0x33000000u);
    return bitcast<f32>(select(y, 0x7fc00000u, is_nan(x)));
}


// ---- logarithm -----------------------------------------------------------------------------------------------------

/// log(1 + f) - f for sqrt(1/2) - 1 <= f <= sqrt(2) - 1: f^2 (f P(f) - 1/2), P minimax of degree 8, relative error of the whole
/// logarithm 2^-30.
fn lg_log_tail(f: f32) -> f32 {
    var p = 0.0674876645;
    p = p * f - 0.116707809;
    p = p * f + 0.118840776;
    p = p * f - 0.12406186;
    p = p * f + 0.142203018;
    p = p * f - 0.166679889;
    p = p * f + 0.20002073;
    p = p * f - 0.250000089;
    p = p * f + 0.333333135;
    return (f * f) * (f * p - 0.5);
}

/// A positive number cut into m 2^k with sqrt(1/2) <= m < sqrt(2).
struct LgParts {
    m: f32,
    k: i32,
}

/// The parts of a positive finite x given by its bits. A denormal is read as an integer, so that it counts even where the
/// arithmetic flushes it.
fn lg_parts(bits: u32) -> LgParts {
    let denormal = bits < 0x00800000u;
    let normal_bits = select(bits, bitcast<u32>(f32(bits)), denormal);
    let from_root = normal_bits - 0x3f3504f3u;
    let k = (bitcast<i32>(from_root) >> 23u) - select(0, 149, denormal);
    return LgParts(bitcast<f32>((from_root & 0x007fffffu) + 0x3f3504f3u), k);
}

/// The natural logarithm: k ln 2 + log(m), ln 2 in two parts (Cephes' logf). -inf at 0, NaN below.
/// 0.89 ulp everywhere, denormals included.
fn lg_log(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let parts = lg_parts(bits);
    let f = lg_keep(parts.m - 1.0);
    let k = f32(parts.k);
    let rest = lg_keep(f + (k * 1.42860677e-06 + lg_log_tail(f)));
    var y = bitcast<u32>(k * 0.693145752 + rest);
    y = select(y, 0x7f800000u, bits == 0x7f800000u);
    y = select(y, 0x7fc00000u, bits > 0x7f800000u);
    return bitcast<f32>(select(y, 0xff800000u, (bits << 1u) == 0u));
}

/// log(1 + x): u = 1 + x with the rounding error c of that sum kept, u = m 2^k, then f = (m - 1) + c 2^-k. No division.
/// 1.50 ulp everywhere.
fn lg_log1p(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let u = lg_keep(1.0 + x);
    let c = select(x - lg_keep(u - 1.0), 1.0 - lg_keep(u - x), x >= 1.0);
    let parts = lg_parts(bitcast<u32>(u));
    let unit = bitcast<f32>(bitcast<u32>(max(127 - parts.k, 0)) << 23u);
    let f = lg_keep(parts.m - 1.0) + c * unit;
    let k = f32(parts.k);
    let rest = lg_keep(f + (k * 1.42860677e-06 + lg_log_tail(f)));
    var y = bitcast<u32>(k * 0.693145752 + rest);
    y = select(y, bits, ((bits & 0x7fffffffu) < 0x33000000u) | (bits == 0x7f800000u));
    y = select(y, 0xff800000u, bits == 0xbf800000u);
    return bitcast<f32>(select(y, 0x7fc00000u, (bits > 0xbf800000u) | is_nan(x)));
}


// ---- hyperbolic tangent, logistic, softplus ------------------------------------------------------------------------

/// P(z) of tanh(x) = x + x^3 P(x^2) for z = x^2 <= 1.
fn lg_tanh_tail(z: f32) -> f32 {
    var p = 0.000116210511;
    p = p * z - 0.000821208407;
    p = p * z + 0.00304812705;
    p = p * z - 0.00857107528;
    p = p * z + 0.0217743553;
    p = p * z - 0.0539507158;
    p = p * z + 0.133331746;
    return p * z - 0.333333284;
}

/// tanh: x + x^3 P(x^2) below 1, P minimax of degree 7; 1 - 2 / (e^(2|x|) + 1) above, where an error in the division hardly
/// counts. Never overflows. 1.09 ulp everywhere.
fn lg_tanh(x: f32) -> f32 {
    let a = abs(x);
    let s = min(a, 1.0);
    let z = s * s;
    let near = s + s * (z * lg_tanh_tail(z));
    let far = 1.0 - 2.0 / (lg_exp_pair(2.0 * min(a, 10.0), 0.0) + 1.0);
    let y = lg_copysign(select(far, near, a < 1.0), x);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// 1 / (1 + e^-x), as e^x / (1 + e^x) below 0, with the rounding error of the sum carried into the division.
/// 1.49 ulp everywhere.
fn lg_sigmoid(x: f32) -> f32 {
    let e = lg_exp_pair(max(-abs(x), -104.0), 0.0);
    let y = select(lg_sigmoid_of(x, e), e, x < LG_FAR);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// Below it 1 + e^x is 1, and the logistic function and softplus are e^x.
const LG_FAR: f32 = -18.1;

/// The logistic function above `LG_FAR`, e being e^-|x|.
fn lg_sigmoid_of(x: f32, e: f32) -> f32 {
    let s = lg_keep(1.0 + e);
    let s_low = e - lg_keep(s - 1.0);
    return lg_div(select(e, 1.0, x >= 0.0), s, s_low);
}

/// by / (1 + e^-x), far below 0 as in `lg_exp_times`.
fn lg_sigmoid_times(x: f32, by: f32) -> f32 {
    let parts = lg_exp_parts(max(-abs(x), -150.0), 0.0);
    let near = lg_sigmoid_of(x, lg_scale(parts.m, max(parts.k, -180))) * by;
    let y = select(near, lg_parts_times(parts, by, x), x < LG_FAR);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// log(1 + e^x) = max(x, 0) + log1p(e^-|x|). 1.7 ulp everywhere.
fn lg_softplus(x: f32) -> f32 {
    let y = max(x, 0.0) + lg_log1p(lg_exp_pair(max(-abs(x), -104.0), 0.0));
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// log(1 + e^x) by, far below 0 as in `lg_exp_times`.
fn lg_softplus_times(x: f32, by: f32) -> f32 {
    let parts = lg_exp_parts(max(-abs(x), -150.0), 0.0);
    let near = (max(x, 0.0) + lg_log1p(lg_scale(parts.m, max(parts.k, -180)))) * by;
    let y = select(near, lg_parts_times(parts, by, x), x < LG_FAR);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}

/// log(sigmoid(x)) = min(x, 0) - log1p(e^-|x|). 1.7 ulp everywhere.
fn lg_log_sigmoid(x: f32) -> f32 {
    let y = min(x, 0.0) - lg_log1p(lg_exp_pair(max(-abs(x), -104.0), 0.0));
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}


// ---- error function ------------------------------------------------------------------------------------------------

/// erf: x + x P(x^2) below 1, P minimax of degree 7; 1 - e^(-|x| S(|x|)) above, where S is a minimax fit of -log(erfc(t)) / t on
/// [1, 4] (the idea is N. Juffa's). 1 from 4 on. 1.32 ulp everywhere.
fn lg_erf(x: f32) -> f32 {
    let a = abs(x);
    let u = min(a, 1.0);
    let z = u * u;
    var p = -2.17221827e-06;
    p = p * z + 8.62345987e-05;
    p = p * z - 0.000811762584;
    p = p * z + 0.00519579602;
    p = p * z - 0.0268564951;
    p = p * z + 0.112836316;
    p = p * z - 0.376126289;
    p = p * z + 0.128379166;
    let near = u + lg_keep(u * p);
    let t = min(a, 4.0);
    var s = -0.000210647049;
    s = s * t + 0.00318697677;
    s = s * t - 0.0227985587;
    s = s * t + 0.105116293;
    s = s * t + 0.635831356;
    s = s * t + 1.12848008;
    let far = 1.0 - lg_exp_pair(-(t * s), 0.0);
    let y = lg_copysign(select(far, near, a < 1.0), x);
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, is_nan(x)));
}


// ---- sine and cosine -----------------------------------------------------------------------------------------------

/// A value as the unevaluated sum of two floats, |lo| <= ulp(hi).
struct LgPair {
    hi: f32,
    lo: f32,
}

/// sin(r.hi + r.lo) for |r| <= pi/4 and a little more: r + r^3 P(r^2), P minimax of degree 3.
fn lg_sin_reduced(r: LgPair) -> f32 {
    let z = r.hi * r.hi;
    var p = 2.83739519e-06;
    p = p * z - 0.000198535054;
    p = p * z + 0.00833338033;
    p = p * z - 0.166666672;
    return r.hi + lg_keep(r.hi * (z * p) + r.lo);
}

/// cos(r.hi + r.lo) for |r| <= pi/4 and a little more: 1 - r^2 / 2 + r^4 Q(r^2), Q minimax of degree 2.
fn lg_cos_reduced(r: LgPair) -> f32 {
    let z = r.hi * r.hi;
    var q = 2.44323273e-05;
    q = q * z - 0.00138873095;
    q = q * z + 0.0416666456;
    return 1.0 - (z * (0.5 - z * q) + r.hi * r.lo);
}

/// A non-negative angle as quadrant * pi/2 + r with |r| <= pi/4, r as a pair; only the quadrant's last two bits mean anything.
struct LgAngle {
    quadrant: u32,
    r: LgPair,
}

/// For 0 <= a <= 12800: a - k pi/2 with pi/2 in five parts (Cody and Waite 1980), the first four of 11 bits, so that k < 2^13 times
/// each of them is exact; the first two differences are exact and the roundings of the next two are kept.
fn lg_angle_near(a: f32) -> LgAngle {
    let k = round(a * 0.636619747);
    let r0 = lg_keep(lg_keep(a - k * 1.5703125) - k * 0.000483512878);
    let third = lg_keep(k * 3.13855708e-07);
    let r1 = lg_keep(r0 - third);
    let e1 = lg_keep(lg_keep(r0 - r1) - third);
    let fourth = lg_keep(k * 6.07087713e-11);
    let r2 = lg_keep(r1 - fourth);
    let e2 = lg_keep(lg_keep(r1 - r2) - fourth);
    let low = lg_keep((e1 + e2) - k * 6.22337197e-14);
    let r = lg_keep(r2 + low);
    return LgAngle(u32(k), LgPair(r, low - lg_keep(r - r2)));
}

/// The high and low words of a * b, by 16-bit halves.
fn lg_mul_wide(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 16u);
    let cross = a0 * b1 + (middle & 0xffffu);
    return vec2<u32>(a1 * b1 + (middle >> 16u) + (cross >> 16u), a * b);
}

/// Bits 32 (i - 1) to 32 i - 1 of 2 / pi after the binary point.
fn lg_two_over_pi(i: u32) -> u32 {
    switch i {
        case 1u: { return 0xa2f9836eu; }
        case 2u: { return 0x4e441529u; }
        case 3u: { return 0xfc2757d1u; }
        case 4u: { return 0xf534ddc0u; }
        case 5u: { return 0xdb629599u; }
        case 6u: { return 0x3c439041u; }
        case 7u: { return 0xfe5163abu; }
        default: { return 0u; }
    }
}

/// n pi/2 as a pair, n and pi/2 in two parts each.
fn lg_half_pi_times(n: u32) -> LgPair {
    let v = f32(n & 0xffffff00u);
    let v_low = f32(n & 0xffu);
    let product = lg_keep(v * 1.57079637);
    let error = lg_keep(lg_mul_minus(v, 1.57079637, product));
    let low = lg_keep(error + (v_low * 1.57079637 - v * 4.37113883e-08));
    let hi = lg_keep(product + low);
    return LgPair(hi, low - lg_keep(hi - product));
}

/// For any finite a >= 8192: a 2/pi modulo 4 in integers (Payne and Hanek 1983). a = m 2^(e - 150); of 2/pi only the 96 bits from
/// the place on where m 2^(e - 150) times a bit is 2 count, and of the product the first 64.
fn lg_angle_far(a: f32) -> LgAngle {
    let bits = bitcast<u32>(a);
    let m = (bits & 0x007fffffu) | 0x00800000u;
    let offset = (bits >> 23u) - 120u;
    let word = offset >> 5u;
    let shift = offset & 31u;
    let t0 = lg_two_over_pi(word);
    let t1 = lg_two_over_pi(word + 1u);
    let t2 = lg_two_over_pi(word + 2u);
    let t3 = lg_two_over_pi(word + 3u);
    let back = 31u - shift;
    let w0 = (t0 << shift) | ((t1 >> 1u) >> back);
    let w1 = (t1 << shift) | ((t2 >> 1u) >> back);
    let w2 = (t2 << shift) | ((t3 >> 1u) >> back);
    let p1 = lg_mul_wide(m, w1);
    var low = p1.y + lg_mul_wide(m, w2).x;
    var high = m * w0 + p1.x + select(0u, 1u, low < p1.y);
    // high.low is the product in quarter turns, modulo 4, with 30 bits after the point in `high`.
    let quadrant = (high + 0x20000000u) >> 30u;
    high -= quadrant << 30u;
    let negative = high >= 0x80000000u;
    let negated = ~high + select(0u, 1u, low == 0u);
    low = select(low, ~low + 1u, negative);
    high = select(high, negated, negative);
    let small = high == 0u;
    high = select(high, low, small);
    low = select(low, 0u, small);
    let zeros = min(countLeadingZeros(high), 31u);
    let top = (high << zeros) | ((low >> 1u) >> (31u - zeros));
    let unit = bitcast<f32>((97u - zeros - select(0u, 32u, small)) << 23u);
    let signed_unit = select(unit, -unit, negative);
    let r = lg_half_pi_times(top);
    return LgAngle(quadrant, LgPair(r.hi * signed_unit, r.lo * signed_unit));
}

fn lg_angle(a: f32) -> LgAngle {
    if a > 12800.0 {
        return lg_angle_far(a);
    }
    return lg_angle_near(a);
}

/// sin(x), x in radians, for every finite x; NaN for infinities. 1.37 ulp everywhere.
fn lg_sin(x: f32) -> f32 {
    let angle = lg_angle(abs(x));
    let y = select(lg_sin_reduced(angle.r), lg_cos_reduced(angle.r), (angle.quadrant & 1u) == 1u);
    let sign = ((angle.quadrant & 2u) << 30u) ^ (bitcast<u32>(x) & 0x80000000u);
    return bitcast<f32>(select(bitcast<u32>(y) ^ sign, 0x7fc00000u, !is_finite(x)));
}

/// cos(x), x in radians, for every finite x; NaN for infinities. 1.37 ulp everywhere.
fn lg_cos(x: f32) -> f32 {
    let angle = lg_angle(abs(x));
    let y = select(lg_cos_reduced(angle.r), lg_sin_reduced(angle.r), (angle.quadrant & 1u) == 1u);
    let sign = ((angle.quadrant + 1u) & 2u) << 30u;
    return bitcast<f32>(select(bitcast<u32>(y) ^ sign, 0x7fc00000u, !is_finite(x)));
}


// ---- power ---------------------------------------------------------------------------------------------------------

/// The natural logarithm of a positive finite x to about 2^-31 of its size: with s = f / (2 + f) as a pair, log(m) = 2 s + s^3 R(s^2)
/// (fdlibm), R minimax of degree 3, and everything but s^3 R kept in two floats.
fn lg_log_pair(x: f32) -> LgPair {
    let parts = lg_parts(bitcast<u32>(x));
    let f = lg_keep(parts.m - 1.0);
    let d = lg_keep(2.0 + f);
    let d_low = f - lg_keep(d - 2.0);
    let reciprocal = 1.0 / d;
    let s = lg_keep(f * reciprocal);
    let s_low = -(lg_mul_minus(s, d, f) + s * d_low) * reciprocal;
    let z = s * s;
    var r = 0.242683157;
    r = r * z + 0.284991682;
    r = r * z + 0.400009692;
    r = r * z + 0.666666627;
    let tail = (2.0 + 2.0 * z) * s_low + (s * z) * r;
    let k = f32(parts.k);
    let whole = lg_keep(k * 0.693145752);
    let sum = lg_keep(whole + 2.0 * s);
    let sum_low = lg_keep(lg_keep(whole - sum) + 2.0 * s);
    let rest = lg_keep(sum_low + (k * 1.42860677e-06 + tail));
    let hi = lg_keep(sum + rest);
    return LgPair(hi, rest - lg_keep(hi - sum));
}

/// x^y as e^(y log|x|), the logarithm and its product with y in two floats each. Negative x: the sign of an odd integer y, NaN if
/// y is not an integer. As IEEE 754 and PyTorch have it, x^0 = 1 and 1^y = 1 even for NaN, and (-1)^(+-inf) = 1.
/// 1.0 ulp while |y log x| < 32, 2.8 up to the ends of the range.
fn lg_pow(x: f32, y: f32) -> f32 {
    let x_bits = bitcast<u32>(x);
    let y_bits = bitcast<u32>(y);
    let x_size = x_bits & 0x7fffffffu;
    let y_size = y_bits & 0x7fffffffu;
    let y_abs = bitcast<f32>(y_size);
    let big = y_size >= 0x4b800000u;
    let integer = big | (trunc(y_abs) == y_abs);
    let odd = !big & integer & ((u32(y_abs) & 1u) == 1u);

    let product = lg_pow_log(bitcast<f32>(x_size), y);
    var result = bitcast<u32>(lg_exp_pair(clamp(product.hi, -110.0, 89.4), product.lo));

    let limit = select(0u, 0x7f800000u, (x_size == 0u) == (y_bits >= 0x80000000u));
    result = select(result, limit, (x_size == 0u) | (x_size == 0x7f800000u));
    result |= select(0u, 0x80000000u, odd & (x_bits >= 0x80000000u));
    let off_axis = (x_bits > 0x80000000u) & (x_size < 0x7f800000u) & !integer;
    result = select(result, 0x7fc00000u, off_axis | is_nan(x) | is_nan(y));
    return bitcast<f32>(select(result, 0x3f800000u, (y_size == 0u) | (x_bits == 0x3f800000u)));
}

/// y log x for x > 0, as a pair.
fn lg_pow_log(x: f32, y: f32) -> LgPair {
    let ln = lg_log_pair(x);
    let c = clamp(y, -1e10, 1e10);
    let hi = lg_keep(c * ln.hi);
    return LgPair(hi, clamp(lg_mul_minus(c, ln.hi, hi) + c * ln.lo, -1e-4, 1e-4));
}

/// x^y a b, where the power alone may leave the range that the product comes back to: a gradient of a power is such. The
/// power's exponent is then put in piece by piece, between the factors.
fn lg_pow_times(x: f32, y: f32, a: f32, b: f32) -> f32 {
    let power = lg_pow(x, y);
    let size = bitcast<u32>(power) & 0x7fffffffu;
    let is_extreme = (size < 0x20000000u) | ((size >= 0x5f800000u) & (size <= 0x7f800000u));
    if !(is_extreme & (x != 0.0) & is_finite(x) & is_finite(y)) {
        return power * a * b;
    }
    let product = lg_pow_log(abs(x), y);
    let parts = lg_exp_parts(clamp(product.hi, -250.0, 250.0), product.lo);
    let third = parts.k / 3;
    let step = bitcast<f32>(u32(third + 127) << 23u);
    let rest = bitcast<f32>(u32(parts.k - 2 * third + 127) << 23u);
    let first = lg_keep(lg_copysign(parts.m, power) * step);
    let second = lg_keep(lg_keep(first * a) * step);
    return lg_keep(second * b) * rest;
}
