#import common/math

fn forward(x: elem, y: elem) -> result {
    return lg_divide(x, y);
}

fn left(g: elem, x: elem, y: elem) -> elem {
    return lg_divide(g, y);
}

fn right(g: elem, x: elem, y: elem) -> elem {
    return -g * lg_divide(lg_divide(x, y), y);
}
