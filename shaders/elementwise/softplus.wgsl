#import common/math
#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    let z = a.x * x;
    return select(lg_softplus(z) / a.x, x, elem_less(a.y, z));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let z = a.x * x;
    return select(g * lg_sigmoid(z), g, elem_less(a.y, z));
}
