#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(a.x * x, x, elem_less(0.0, x));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(a.x * g, g, elem_less(0.0, x));
}
