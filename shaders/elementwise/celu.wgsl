#import common/math
#import common/compare

fn is_low(x: f32) -> bool {
    return !elem_less(0.0, x) && !elem_is_nan(x);
}

// a.x is α, a.y its reciprocal.
fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(x, a.x * lg_expm1(x * a.y), is_low(x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(g, lg_exp_times(x * a.y, g), is_low(x));
}
