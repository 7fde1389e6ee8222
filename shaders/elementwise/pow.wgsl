#import common/math

fn forward(x: elem, y: elem) -> result {
    return lg_pow(x, y);
}

fn left(g: elem, x: elem, y: elem) -> elem {
    return select(lg_pow_times(x, y - 1.0, y, g), 0.0, y == 0.0 && !is_nan(y));
}

// 0^y is 0 for every y > 0, and by convention its derivative at y = 0 is 0 too.
fn right(g: elem, x: elem, y: elem) -> elem {
    let flat = x == 0.0 && y >= 0.0 && !is_nan(x) && !is_nan(y);
    return select(lg_pow_times(x, y, lg_log(x), g), 0.0, flat);
}
