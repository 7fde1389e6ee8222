fn forward(x: elem, a: vec4<elem>) -> elem {
    return round(x);
}
