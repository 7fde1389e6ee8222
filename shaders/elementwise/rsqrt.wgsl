#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return 1.0 / lg_sqrt(x);
}

// −½·g·y³. The half last: g may be about the smallest float.
fn backward(g: elem, y: elem, a: vec4<elem>) -> elem {
    return lg_keep(g * y * y) * (-0.5 * y);
}
