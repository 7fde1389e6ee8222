#import common/math
#import common/compare

const SIXTH: f32 = 0.16666667;

fn is_high(x: f32) -> bool {
    return !elem_less(x, 3.0) && !elem_is_nan(x);
}

fn is_low(x: f32) -> bool {
    return !elem_less(-3.0, x) && !elem_is_nan(x);
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    // PyTorch multiplies with 0, so that −∞ gives NaN.
    let outside = select(select(0.0, nan_f32(), is_inf(x)), x, is_high(x));
    return select(x * ((x + 3.0) * SIXTH), outside, is_high(x) || is_low(x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    // 2x + 3 is rounded once: there is no loss where it is near 0.
    let inside = !is_low(x) && elem_less(x, 3.0);
    return select(select(g, 0.0, is_low(x)), g * ((2.0 * x + 3.0) * SIXTH), inside);
}
