#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_erf(x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return g * (1.12837917 * lg_exp_square(x, 1.0));
}
