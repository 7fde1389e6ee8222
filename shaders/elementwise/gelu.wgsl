#import common/math

fn distribution(x: f32) -> f32 {
    return 0.5 * (1.0 + lg_erf(x * 0.707106781));
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    return x * distribution(x);
}

fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let density = 0.398942280 * lg_exp_square(x, 0.5);
    return g * (distribution(x) + x * density);
}
