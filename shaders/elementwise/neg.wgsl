fn forward(x: elem, a: vec4<elem>) -> elem {
    // By the sign bit: 0 − x would lose the sign of −0.
    if IS_FLOAT == 1u {
        return bitcast<elem>(bitcast<u32>(x) ^ 0x80000000u);
    }
    return elem(0) - x;
}
