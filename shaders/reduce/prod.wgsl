fn identity() -> elem {
    return elem(1);
}

fn combine(a: elem, b: elem) -> elem {
    return a * b;
}

// `scale` is 1.
fn finish(product: elem) -> elem {
    return product;
}
