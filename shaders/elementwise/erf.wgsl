#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_erf(x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return lg_exp_square_times(x, 1.0, g * 1.12837917);
}
