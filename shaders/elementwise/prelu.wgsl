#import common/compare

// x is the input, y the slope.
fn forward(x: elem, y: elem) -> result {
    return select(y * x, x, elem_less(0.0, x));
}

fn left(g: elem, x: elem, y: elem) -> elem {
    return select(y * g, g, elem_less(0.0, x));
}

fn right(g: elem, x: elem, y: elem) -> elem {
    return select(x * g, 0.0, elem_less(0.0, x));
}
