fn side(g: elem, x: elem, y: elem) -> elem {
    return right(g, x, y);
}
