#import common/division

// The rest with the sign of y. A sum is rounded only where the rest is x itself; any other is a whole number of y's last places.
fn divided(x: elem, y: elem) -> elem {
    let rest = rest_of(x, y);
    if IS_FLOAT == 1u {
        let bits = bitcast<u32>(rest);
        let is_other_side = ((bits ^ bitcast<u32>(y)) >> 31u) == 1u && (bits << 1u) != 0u && !is_nan(bitcast<f32>(rest));
        let moved = select(rest + y, y, is_inf(bitcast<f32>(y)));
        return select(rest, moved, is_other_side);
    }
    return select(rest, rest + y, rest != elem(0) && (rest < elem(0)) != (y < elem(0)));
}

fn right(g: elem, x: elem, y: elem) -> elem {
    return quotient_gradient(g, x, y, true);
}
