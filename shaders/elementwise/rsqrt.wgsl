#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return 1.0 / lg_sqrt(x);
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return -0.5 * g * y * y * y;
}
