// A division by a number, which the host has looked at: the operation's own file defines `divided`.
fn forward(x: elem, a: vec4<elem>) -> result {
    return divided(x, a.x);
}
