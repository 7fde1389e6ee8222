#import common/compare

// NaN is not low.
fn is_low(x: elem, a: vec4<elem>) -> bool {
    return !elem_less(a.x, x) && !elem_is_nan(x);
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(x, a.y, is_low(x, a));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(g, 0.0, is_low(x, a));
}
