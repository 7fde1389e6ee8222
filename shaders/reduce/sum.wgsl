alias folded = elem;

fn take(v: elem) -> folded {
    return v;
}

fn identity() -> folded {
    return elem(0);
}

fn combine(a: folded, b: folded) -> folded {
    return a + b;
}

// `scale` is 1 for integers.
fn finish(sum: folded) -> elem {
    return sum * elem(params.scale);
}
