// Conversion of an element between types of a word. Everything is bits here; FROM and TO of the prelude say what they mean:
// 0 f32, 1 i32, 2 u32; TO also 3, a truth value.
#import common/math

// Values that integers can't hold: limited to the range, and 0 for NaN.
fn to_i32(v: f32) -> i32 {
    if is_nan(v) {
        return 0;
    }
    if v >= 2147483648.0 {
        return 2147483647;
    }
    if v <= -2147483648.0 {
        return -2147483647 - 1;
    }
    return i32(v);
}

fn to_u32(v: f32) -> u32 {
    if is_nan(v) || v <= 0.0 {
        return 0u;
    }
    if v >= 4294967296.0 {
        return 4294967295u;
    }
    return u32(v);
}

fn from_f32(bits: u32) -> u32 {
    if TO == 0u {
        return bits;
    }
    if TO == 1u {
        return bitcast<u32>(to_i32(bitcast<f32>(bits)));
    }
    if TO == 2u {
        return to_u32(bitcast<f32>(bits));
    }
    return select(0u, 1u, (bits & 0x7fffffffu) != 0u);
}

fn from_integer(bits: u32) -> u32 {
    if TO == 0u {
        if FROM == 1u {
            return bitcast<u32>(f32(bitcast<i32>(bits)));
        }
        return bitcast<u32>(f32(bits));
    }
    if TO == 3u {
        return select(0u, 1u, bits != 0u);
    }
    return bits;
}

fn forward(bits: u32, a: vec4<u32>) -> u32 {
    if FROM == 0u {
        return from_f32(bits);
    }
    return from_integer(bits);
}
