#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_tanh(x);
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    // 1 − y², without the cancellation where y is near 1 or −1.
    return g * ((1.0 - y) * (1.0 + y));
}
