#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_pow(x, a.x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(lg_pow_times(x, a.x - 1.0, a.x, g), 0.0, a.x == 0.0);
}
