#import common/order

// What loses against everything: an infinity, or the end of the integers' range.
fn identity() -> elem {
    var bits = LOSER;
    return bitcast<elem>(bits);
}

fn combine(a: elem, b: elem) -> elem {
    if order(b) > order(a) {
        return b;
    }
    return a;
}

fn finish(extreme: elem) -> elem {
    return extreme;
}
