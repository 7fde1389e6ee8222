// NaN stays NaN, as in PyTorch: the comparison is false for it.
fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(x, elem(0), x <= elem(0));
}

fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return select(g, elem(0), y <= elem(0));
}
