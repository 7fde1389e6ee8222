#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_pow(x, a.x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(g * (a.x * lg_pow(x, a.x - 1.0)), 0.0, a.x == 0.0);
}
