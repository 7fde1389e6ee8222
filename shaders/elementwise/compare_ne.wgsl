fn compare(x: elem, y: elem) -> bool {
    return !elem_equal(x, y);
}
