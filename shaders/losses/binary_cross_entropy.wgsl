#import common/math

// A logarithm cut at −100; NaN stays.
fn cut(logarithm: f32) -> f32 {
    return select(max(logarithm, -100.0), logarithm, is_nan(logarithm));
}

// Both logarithms are of NaN where x is no probability.
fn loss(e: Element, a: vec4<f32>) -> f32 {
    return (e.t - 1.0) * cut(lg_log1p(-e.x)) - e.t * cut(lg_log(e.x));
}

fn input_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    let variance = e.x * (1.0 - e.x);
    let d = g * ((e.x - e.t) / max(variance, 1e-12));
    return select(nan_f32(), d, e.x >= 0.0 && e.x <= 1.0 && !is_nan(e.x));
}

fn target_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    return g * (lg_log1p(-e.x) - lg_log(e.x));
}
