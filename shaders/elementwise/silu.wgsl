#import common/math

// Far below 0, σ is e^x, which may be too small for a float when x·σ is not: the root of it is multiplied
// twice, and with g before.
const FAR: f32 = -60.0;

fn forward(x: elem, a: vec4<elem>) -> elem {
    let root = lg_exp(0.5 * x);
    return select(x * lg_sigmoid(x), lg_keep(x * root) * root, x < FAR);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let root = lg_exp(0.5 * x);
    let near = lg_sigmoid(x) * (1.0 + x * lg_sigmoid(-x));
    return select(g * near, lg_keep(lg_keep(g * root) * (1.0 + x)) * root, x < FAR);
}
