#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    if elem_is_nan(a.x) || elem_is_nan(a.y) {
        return select(a.x, a.y, elem_is_nan(a.y));
    }
    let raised = select(x, a.x, elem_less(x, a.x));
    return select(raised, a.y, elem_less(a.y, raised));
}

// a.z and a.w tell whether there is a lower and an upper bound: an infinite element lies within a missing one.
fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let above = a.z == elem(0) || elem_less(a.x, x);
    let below = a.w == elem(0) || elem_less(x, a.y);
    let ordered = !elem_is_nan(x) && !elem_is_nan(a.x) && !elem_is_nan(a.y);
    return select(elem(0), g, above && below && ordered);
}
