#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_expm1(x);
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return g * (y + 1.0);
}
