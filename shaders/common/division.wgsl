// Division with a rest. Of floats it is long division of their digits in whole numbers: no product or quotient of floats can
// be trusted to be exact, and a quotient may have more than 270 binary places. The prelude says what `elem` is, and IS_FLOAT
// whether that is f32.
#import common/math

/// A positive finite float as digits · 2^(exponent - 150), the digits from 2^23 up to 2^24, of denormals too.
struct LgDigits {
    digits: u32,
    exponent: i32,
}

fn lg_digits(bits: u32) -> LgDigits {
    let exponent = max(bits >> 23u, 1u);
    let digits = bits - ((exponent - 1u) << 23u);
    let up = countLeadingZeros(digits) - 8u;
    return LgDigits(digits << up, i32(exponent) - i32(up));
}

/// digits · 2^(exponent - 150), below 2^24 digits of a number that is a float.
fn lg_of_digits(digits: u32, exponent: i32) -> f32 {
    // Leading zeros go as far as exponents do; behind that the number is denormal.
    let up = min(i32(countLeadingZeros(digits)) - 8, exponent - 1);
    let shifted = select(digits << u32(max(up, 0)), digits >> u32(max(-up, 0)), up < 0);
    return bitcast<f32>(select(shifted + (u32(exponent - 1 - up) << 23u), 0u, digits == 0u));
}

struct LgDivision {
    // the last 32 digits of the quotient
    whole: u32,
    rest: u32,
}

/// x 2^places / y for x and y from 2^23 up to 2^24: 16 places at a time, which is once for most quotients that occur and 18 times
/// at most.
fn lg_long_division(x: u32, y: u32, places: u32) -> LgDivision {
    let part = 1.0 / f32(y);
    var whole = select(0u, 1u, x >= y);
    var rest = x - whole * y;
    var left = places;
    while left > 0u {
        let step = min(left, 16u);
        // A quotient below 2^16 that is off by less than 2^-20 of itself, so that the whole number is off by one at most; what
        // is left then shows which way, and the bits above 32 need not be known for it.
        let guess = u32(f32(rest) * part * f32(1u << step));
        let more = bitcast<i32>((rest << step) - guess * y);
        let off = select(0, -1, more < 0) + select(0, 1, more >= i32(y));
        rest = bitcast<u32>(more - off * i32(y));
        whole = (whole << step) + guess + bitcast<u32>(off);
        left -= step;
    }
    return LgDivision(whole, rest);
}

/// x - y trunc(x / y), exactly: C's fmod.
fn lg_fmod(x: f32, y: f32) -> f32 {
    let a = bitcast<u32>(x) & 0x7fffffffu;
    let b = bitcast<u32>(y) & 0x7fffffffu;
    if a >= 0x7f800000u || b > 0x7f800000u || b == 0u {
        return nan_f32();
    }
    if a < b {
        return x;
    }
    let n = lg_digits(a);
    let d = lg_digits(b);
    let rest = lg_long_division(n.digits, d.digits, u32(n.exponent - d.exponent)).rest;
    return lg_copysign(lg_of_digits(rest, d.exponent), x);
}

/// x / y rounded to a whole number, down or towards 0, times `by`. The quotient alone may be beyond the range that the product
/// comes back to. A whole number below 2^24 is exact.
fn lg_quotient_times(x: f32, y: f32, down: bool, by: f32) -> f32 {
    let a = bitcast<u32>(x) & 0x7fffffffu;
    let b = bitcast<u32>(y) & 0x7fffffffu;
    let is_negative = ((bitcast<u32>(x) ^ bitcast<u32>(y)) >> 31u) == 1u;
    let factor = select(by, -by, is_negative);
    // As in Python and PyTorch, an infinity is not rounded down to one, unless it is divided by 0.
    let is_infinite = a == 0x7f800000u && (b == 0x7f800000u || (down && b != 0u));
    if a > 0x7f800000u || b > 0x7f800000u || (a | b) == 0u || is_infinite {
        return nan_f32();
    }
    if a == 0x7f800000u || b == 0u {
        return inf_f32() * factor;
    }
    if a < b {
        // 0 or 1 times the factor, by its bits: a compiler that knows of a 0 does not keep the sign of its product.
        let zero = select(bitcast<u32>(factor) & 0x80000000u, 0x7fc00000u, !is_finite(factor));
        return bitcast<f32>(select(zero, bitcast<u32>(factor), down && is_negative && a != 0u));
    }
    let n = lg_digits(a);
    let d = lg_digits(b);
    let places = u32(n.exponent - d.exponent);
    let first = min(places, 30u);
    let quotient = lg_long_division(n.digits, d.digits, first);
    let is_cut = quotient.rest != 0u;
    // With all its places the quotient is known; with more than 30 the last bit only tells how to round.
    let up = select(0u, 1u, is_cut && down && is_negative);
    let whole = select(quotient.whole | select(0u, 1u, is_cut), quotient.whole + up, first == places);
    let half = (places - first) >> 1u;
    let product = lg_keep(lg_keep(factor * f32(whole)) * bitcast<f32>((half + 127u) << 23u));
    return product * bitcast<f32>((places - first - half + 127u) << 23u);
}

// ---- any elements --------------------------------------------------------------------------------------------------

// Whole numbers are divided by their magnitudes: of the smallest one by -1 drivers may make anything, and of 0 too.
fn magnitude(x: elem) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits, 0u - bits, x < elem(0));
}

fn with_sign(magnitude: u32, is_negative: bool) -> elem {
    return bitcast<elem>(select(magnitude, 0u - magnitude, is_negative));
}

// The rest with the sign of x; of a whole number divided by 0 it is 0.
fn rest_of(x: elem, y: elem) -> elem {
    if IS_FLOAT == 1u {
        return bitcast<elem>(lg_fmod(bitcast<f32>(x), bitcast<f32>(y)));
    }
    return with_sign(magnitude(x) % max(magnitude(y), 1u), x < elem(0));
}

// x / y rounded down or towards 0; a whole number divided by 0 stays as it is, with its sign.
fn quotient_of(x: elem, y: elem, down: bool) -> elem {
    if IS_FLOAT == 1u {
        return bitcast<elem>(lg_quotient_times(bitcast<f32>(x), bitcast<f32>(y), down, 1.0));
    }
    let n = magnitude(x);
    let d = max(magnitude(y), 1u);
    let is_negative = (x < elem(0)) != (y < elem(0));
    let quotient = n / d;
    return with_sign(quotient + select(0u, 1u, down && is_negative && quotient * d != n), is_negative);
}

// The gradient of a rest with respect to y: minus that of the quotient.
fn quotient_gradient(g: elem, x: elem, y: elem, down: bool) -> elem {
    return bitcast<elem>(lg_quotient_times(bitcast<f32>(x), bitcast<f32>(y), down, -bitcast<f32>(g)));
}
