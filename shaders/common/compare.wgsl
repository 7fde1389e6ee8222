// Comparing elements of any numeric type. Compilers may assume that no float is NaN, and flush denormals: floats are
// compared by their bits. The prelude says what `elem` is, and IS_FLOAT whether that is f32.

fn elem_is_nan(x: elem) -> bool {
    return IS_FLOAT == 1u && (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The place of a float among all floats, as an integer; zeros of both signs have the same.
fn float_rank(x: elem) -> i32 {
    let bits = bitcast<i32>(x);
    return select(bits, -(bits & 0x7fffffff), bits < 0);
}

// x = y; false where either is NaN.
fn elem_equal(x: elem, y: elem) -> bool {
    if IS_FLOAT == 1u {
        return float_rank(x) == float_rank(y) && !elem_is_nan(x) && !elem_is_nan(y);
    }
    return x == y;
}

// x < y; false where either is NaN.
fn elem_less(x: elem, y: elem) -> bool {
    if IS_FLOAT == 1u {
        return float_rank(x) < float_rank(y) && !elem_is_nan(x) && !elem_is_nan(y);
    }
    return x < y;
}
