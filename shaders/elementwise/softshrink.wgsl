#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    let below = select(0.0, x + a.x, elem_less(x, -a.x) || elem_is_nan(x));
    return select(below, x - a.x, elem_less(a.x, x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(0.0, g, elem_less(a.x, x) || elem_less(x, -a.x));
}
