#import common/math

// log(1 + e^−|x|)
fn rest(x: f32) -> f32 {
    return lg_log1p(lg_exp(-abs(x)));
}

// No two large terms are subtracted: above 0 the first is (1 − t)·x, below p·t·|x|.
fn loss(e: Element, a: vec4<f32>) -> f32 {
    let positive = e.p * e.t;
    let slope = select(1.0 - e.t, -positive, e.x < 0.0);
    return slope * e.x + lg_softplus_times(-abs(e.x), 1.0 - e.t + positive);
}

fn input_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    return lg_sigmoid_times(e.x, g * (1.0 - e.t)) - lg_sigmoid_times(-e.x, g * (e.p * e.t));
}

fn target_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    let slope = select(1.0, e.p, e.x < 0.0);
    return g * ((e.p - 1.0) * rest(e.x) - slope * e.x);
}
