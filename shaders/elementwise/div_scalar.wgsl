#import common/math

fn forward(x: elem, a: vec4<elem>) -> elem {
    return lg_divide(x, a.x);
}
