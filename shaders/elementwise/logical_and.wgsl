fn forward(x: elem, y: elem) -> result {
    return x & y;
}
