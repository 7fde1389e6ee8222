#import common/compare

fn forward(x: elem, a: vec4<elem>) -> elem {
    return select(elem(0), elem(1), elem_less(elem(0), x)) - select(elem(0), elem(1), elem_less(x, elem(0)));
}
