#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_sqrt(x);
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return g / (2.0 * y);
}
