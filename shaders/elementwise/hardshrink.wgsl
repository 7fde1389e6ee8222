#import common/compare

fn is_outside(x: elem, a: vec4<elem>) -> bool {
    return elem_less(a.x, x) || elem_less(x, -a.x);
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(0.0, x, is_outside(x, a) || elem_is_nan(x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(0.0, g, is_outside(x, a));
}
