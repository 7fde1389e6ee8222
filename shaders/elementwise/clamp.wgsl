#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    if elem_is_nan(a.x) || elem_is_nan(a.y) {
        return select(a.x, a.y, elem_is_nan(a.y));
    }
    let raised = select(x, a.x, elem_less(x, a.x));
    return select(raised, a.y, elem_less(a.y, raised));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let within = !elem_less(x, a.x) && !elem_less(a.y, x);
    let ordered = !elem_is_nan(x) && !elem_is_nan(a.x) && !elem_is_nan(a.y);
    return select(elem(0), g, within && ordered);
}
