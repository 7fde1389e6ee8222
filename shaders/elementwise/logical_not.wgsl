fn forward(x: elem, a: vec4<elem>) -> result {
    return x ^ 1u;
}
