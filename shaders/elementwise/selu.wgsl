#import common/math
#import common/compare

const SCALE: f32 = 1.0507009873554805;
const SCALE_ALPHA: f32 = 1.7580993408473766;

fn is_low(x: f32) -> bool {
    return !elem_less(0.0, x) && !elem_is_nan(x);
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(SCALE * x, SCALE_ALPHA * lg_expm1(x), is_low(x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(SCALE * g, lg_exp_times(x, g * SCALE_ALPHA), is_low(x));
}
