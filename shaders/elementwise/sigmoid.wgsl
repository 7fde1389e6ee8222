#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_sigmoid(x);
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return g * (1.0 - y) * y;
}
