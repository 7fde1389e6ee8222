#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return x * x;
}

// 2 * (g * x): compilers would rather double g first, which can overflow where the product does not.
fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return bitcast<elem>(2.0 * lg_keep(bitcast<f32>(g * x)));
}
