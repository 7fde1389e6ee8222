// The p-norm of an output's elements, or of a part of them. `scale` is p; KIND (from the prelude) says how it is computed:
// 0 counts what is not 0; 1 adds magnitudes; 2 adds squares; 3 and 4 take the largest and the smallest magnitude; 5 adds
// powers. Squares and powers are of elements divided by the largest (p < 0: smallest) magnitude, so that none leaves the
// range.
#import common/math

// Magnitudes by their bits, the other way round where the smallest is sought. NaN comes before all.
alias seen = u32;

const LEAST_SEEN: seen = 0u;
const LOOKS: bool = KIND >= 2u;
const ADDS: bool = KIND != 3u && KIND != 4u;

fn size_of(v: f32) -> u32 {
    return bitcast<u32>(v) & 0x7fffffffu;
}

fn seeks_smallest() -> bool {
    return KIND == 4u || (KIND == 5u && params.scale < 0.0);
}

fn see(v: f32) -> seen {
    let size = size_of(v);
    return select(size, ~select(size + 1u, 0u, size > 0x7f800000u), seeks_smallest());
}

fn has_nan(found: seen) -> bool {
    return select(found > 0x7f800000u, found == 0xffffffffu, seeks_smallest());
}

// The bits of the magnitude that was found.
fn size_found(found: seen) -> u32 {
    return select(found, ~found - 1u, seeks_smallest());
}

// What elements are divided by.
fn unit_of(found: seen) -> f32 {
    if KIND == 2u {
        // A power of two: nothing is rounded.
        return bitcast<f32>(clamp(found >> 23u, 1u, 253u) << 23u);
    }
    return bitcast<f32>(size_found(found));
}

fn term(v: f32, unit: f32) -> f32 {
    let size = bitcast<f32>(size_of(v));
    switch KIND {
        case 0u: { return select(1.0, 0.0, size_of(v) == 0u); }
        case 1u: { return size; }
        case 2u: {
            let scaled = size * bitcast<f32>(0x7f000000u - bitcast<u32>(unit));
            return scaled * scaled;
        }
        default: { return lg_pow(lg_divide(size, unit), params.scale); }
    }
}

fn finish(found: seen, unit: f32, sum: f32) -> f32 {
    if !LOOKS {
        return sum;
    }
    if has_nan(found) {
        return nan_f32();
    }
    let size = size_found(found);
    // No elements but zeros, or infinities, have no terms.
    if !ADDS || size == 0u || size == 0x7f800000u {
        return bitcast<f32>(size);
    }
    if KIND == 2u {
        return unit * lg_sqrt(sum);
    }
    return unit * lg_pow(sum, 1.0 / params.scale);
}
