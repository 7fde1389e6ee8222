fn compare(x: elem, y: elem) -> bool {
    return elem_less(x, y) || elem_equal(x, y);
}
