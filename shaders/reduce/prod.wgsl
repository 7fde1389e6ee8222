alias folded = elem;

fn take(v: elem) -> folded {
    return v;
}

fn identity() -> folded {
    return elem(1);
}

fn combine(a: folded, b: folded) -> folded {
    return a * b;
}

// `scale` is 1.
fn finish(product: folded) -> elem {
    return product;
}
