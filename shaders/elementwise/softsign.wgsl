#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    let y = lg_divide(x, 1.0 + abs(x));
    return select(y, nan_f32(), is_inf(x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let s = 1.0 + abs(x);
    let d = lg_divide(lg_divide(g, s), s);
    return select(d, nan_f32(), is_inf(x));
}
