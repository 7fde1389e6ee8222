#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    return abs(x);
}

// At NaN the derivative is 0, as in PyTorch.
fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return g * (select(elem(0), elem(1), elem_less(elem(0), x)) - select(elem(0), elem(1), elem_less(x, elem(0))));
}
