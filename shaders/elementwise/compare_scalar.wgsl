// A comparison with a number: the relation's own file defines `compare`.
#import common/compare

fn forward(x: elem, a: vec4<elem>) -> result {
    return select(0u, 1u, compare(x, a.x));
}
