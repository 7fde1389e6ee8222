#import common/compare

// NaN stays NaN, as in PyTorch: it is below nothing.
fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(x, elem(0), elem_less(x, elem(0)));
}

// NaN of the output passes the gradient, as in PyTorch.
fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return select(elem(0), g, elem_less(elem(0), y) || elem_is_nan(y));
}
