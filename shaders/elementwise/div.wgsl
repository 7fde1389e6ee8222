fn forward(x: elem, y: elem) -> result {
    return x / y;
}

fn left(g: elem, x: elem, y: elem) -> elem {
    return g / y;
}

fn right(g: elem, x: elem, y: elem) -> elem {
    return -g * ((x / y) / y);
}
