fn side(g: elem, x: elem, y: elem) -> elem {
    return left(g, x, y);
}
