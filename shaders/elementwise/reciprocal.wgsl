fn forward(x: elem, a: vec4<elem>) -> elem {
    return 1.0 / x;
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return -g * y * y;
}
