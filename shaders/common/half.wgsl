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
    let sign = (half & 0x8000u) << 16u;
    let magnitude = half & 0x7fffu;
    if magnitude >= 0x7c00u {
        return sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u);
    }
    if magnitude < 0x400u {
        // Below the normal f16: a whole number of 2^-24, and a normal f32.
        return sign | bitcast<u32>(f32(magnitude) * 5.9604644775390625e-8);
    }
    return sign | ((magnitude << 13u) + 0x38000000u);
}

// The half nearest to an f32 of these bits; halfway between two of them the one that ends in 0.
fn narrow(kind: u32, bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    let magnitude = bits & 0x7fffffffu;
    if kind == BF16 {
        if magnitude > 0x7f800000u {
            return (bits >> 16u) | 0x40u;
        }
        return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    }
    if magnitude > 0x7f800000u {
        return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    }
    if magnitude >= 0x477ff000u {
        // From halfway between the largest f16 and 65536 on.
        return sign | 0x7c00u;
    }
    if magnitude >= 0x38800000u {
        return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
    }
    if magnitude <= 0x33000000u {
        return sign;
    }
    // Below the normal f16: in units of 2^-24, the smallest one.
    let shift = 126u - (magnitude >> 23u);
    let whole = (magnitude & 0x7fffffu) | 0x800000u;
    let quotient = whole >> shift;
    let rest = whole & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    let up = rest > middle || (rest == middle && (quotient & 1u) == 1u);
    return sign | (quotient + select(0u, 1u, up));
}
