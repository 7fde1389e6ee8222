#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(select(x, a.y, elem_less(a.y, x)), a.x, elem_less(x, a.x));
}

// NaN lies outside of no bound.
fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let inside = elem_less(a.x, x) && elem_less(x, a.y);
    return select(0.0, g, inside || elem_is_nan(x));
}
