fn compare(x: elem, y: elem) -> bool {
    return elem_less(y, x) || elem_equal(x, y);
}
