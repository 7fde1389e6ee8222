fn identity() -> elem {
    return elem(0);
}

fn combine(a: elem, b: elem) -> elem {
    return a + b;
}

// `scale` is 1 for integers.
fn finish(sum: elem) -> elem {
    return sum * elem(params.scale);
}
