#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_log_sigmoid(x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return lg_sigmoid_times(-x, g);
}
