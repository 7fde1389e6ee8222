// Floats of half the width: two of them lie in a word, the first in its low bits. All of it is arithmetic on bits, so that
// every device gives the same ones: `pack2x16float` may round as it likes, and f16 is an optional feature.

const F16: u32 = 3u;
const BF16: u32 = 4u;

// The half that element `at` of an array of halves is, in its word.
fn half_of(word: u32, at: u32) -> u32 {
    return (word >> ((at & 1u) * 16u)) & 0xffffu;
}

// The bits of the f32 that an f16 or bf16 is; none is lost.
fn widen(kind: u32, half: u32) -> u32 {
    if kind == BF16 {
        return half << 16u;
    }
    let magnitude = half & 0x7fffu;
    let normal = (magnitude << 13u) + 0x38000000u;
    // Below the normal f16: a whole number of 2^-24, and a normal f32.
    let small = bitcast<u32>(f32(magnitude) * 5.9604644775390625e-8);
    let special = 0x7f800000u | ((magnitude & 0x3ffu) << 13u);
    let number = select(normal, small, magnitude < 0x400u);
    return ((half & 0x8000u) << 16u) | select(number, special, magnitude >= 0x7c00u);
}

// The half nearest to an f32 of these bits; halfway between two of them the one that ends in 0.
fn narrow(kind: u32, bits: u32) -> u32 {
    let magnitude = bits & 0x7fffffffu;
    let is_nan = magnitude > 0x7f800000u;
    if kind == BF16 {
        return select((bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u, (bits >> 16u) | 0x40u, is_nan);
    }
    let normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u;
    // Below the normal f16: in units of 2^-24, the smallest one. From a shift of 25 on nothing is left.
    let shift = min(126u - (magnitude >> 23u), 25u);
    let whole = (magnitude & 0x7fffffu) | 0x800000u;
    let quotient = whole >> shift;
    let rest = whole & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    let up = rest > middle || (rest == middle && (quotient & 1u) == 1u);
    let small = quotient + select(0u, 1u, up);
    var half = select(normal, small, magnitude < 0x38800000u);
    // From halfway between the largest f16 and 65536 on.
    half = select(half, 0x7c00u, magnitude >= 0x477ff000u);
    half = select(half, 0x7e00u | ((magnitude >> 13u) & 0x3ffu), is_nan);
    return ((bits >> 16u) & 0x8000u) | half;
}
