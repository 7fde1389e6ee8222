// A number where the mask `x` holds, else `y`. Everything is bits.
fn forward(x: elem, y: elem) -> result {
    return select(y, params.scalars.x, x != 0u);
}
