#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_sin(x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return g * lg_cos(x);
}
