#import common/math

fn forward(x: elem, y: elem) -> result {
    return lg_divide(x, y);
}

fn left(g: elem, x: elem, y: elem) -> elem {
    return lg_divide(g, y);
}

fn right(g: elem, x: elem, y: elem) -> elem {
    // −g·(x/y)/y, in the order that keeps what is between in range: the larger factor is divided where that shrinks it, the
    // smaller one where it grows.
    let q = lg_divide(x, y);
    let swap = (abs(q) > abs(g)) == (abs(y) >= 1.0);
    return -lg_divide(select(g, q, swap), y) * select(q, g, swap);
}
