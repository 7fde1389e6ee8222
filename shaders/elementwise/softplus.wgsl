#import common/math
#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    let z = a.x * x;
    return select(lg_softplus_times(z, 1.0 / a.x), x, elem_less(a.y, z));
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let z = a.x * x;
    return select(lg_sigmoid_times(z, g), g, elem_less(a.y, z));
}
