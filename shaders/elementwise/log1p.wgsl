#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_log1p(x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return g / (1.0 + x);
}
