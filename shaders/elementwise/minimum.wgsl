#import common/compare

// NaN of either operand is passed on.
fn forward(x: elem, y: elem) -> result {
    return select(x, y, elem_less(y, x) || elem_is_nan(y));
}

// The gradient of the operand that may have lost: half where both are equal.
fn share(g: elem, lost: bool, tie: bool) -> elem {
    return select(select(g, g / elem(2), tie), elem(0), lost);
}

fn left(g: elem, x: elem, y: elem) -> elem {
    return share(g, elem_less(y, x), elem_equal(x, y));
}

fn right(g: elem, x: elem, y: elem) -> elem {
    return share(g, elem_less(x, y), elem_equal(x, y));
}
