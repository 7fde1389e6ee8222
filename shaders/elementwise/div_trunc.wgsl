#import common/division

fn divided(x: elem, y: elem) -> elem {
    return quotient_of(x, y, false);
}
