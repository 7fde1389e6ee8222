// `x` where the condition `g` holds, else `y`. Everything is bits.
fn side(g: elem, x: elem, y: elem) -> elem {
    return select(y, x, g != 0u);
}
