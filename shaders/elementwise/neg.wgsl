fn forward(x: elem, a: vec4<elem>) -> elem {
    return elem(0) - x;
}
