#import common/math

// Far below 0 the hyperbolic tangent is e^x, which may be too small for a float when the product with x is not: the root
// of it is multiplied twice, and with g before.
const FAR: f32 = -60.0;

// The hyperbolic tangent of log(1 + e^x), and what it lacks to 1, both in full accuracy: with n = e^x they are
// n(n + 2) / (n(n + 2) + 2) and 2 / (n(n + 2) + 2). Above 0 everything is divided by n².
struct Gate {
    open: f32,
    closed: f32,
}

fn gate(x: f32) -> Gate {
    let e = lg_exp(-abs(x));
    let low = x < 0.0;
    let open = select(1.0 + 2.0 * e, e * (e + 2.0), low);
    let closed = select(2.0 * e * e, 2.0, low);
    let sum = open + closed;
    return Gate(open / sum, closed / sum);
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    let root = lg_exp(0.5 * x);
    return select(x * gate(x).open, lg_keep(x * root) * root, x < FAR);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let root = lg_exp(0.5 * x);
    let t = gate(x);
    let near = t.open + x * lg_sigmoid(x) * t.closed * (1.0 + t.open);
    return select(g * near, lg_keep(lg_keep(g * root) * (1.0 + x)) * root, x < FAR);
}
