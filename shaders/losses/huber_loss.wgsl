#import common/math

// a.x is δ.
fn loss(e: Element, a: vec4<f32>) -> f32 {
    let difference = abs(e.x - e.t);
    let far = a.x * (difference - 0.5 * a.x);
    return select(0.5 * difference * difference, far, is_far(difference, a.x));
}

// NaN is not far.
fn is_far(size: f32, delta: f32) -> bool {
    return bitcast<u32>(size) > bitcast<u32>(delta) && !is_nan(size);
}

fn input_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    let difference = e.x - e.t;
    let slope = select(a.x, -a.x, difference < 0.0);
    return g * select(difference, slope, is_far(abs(difference), a.x));
}

fn target_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    return input_gradient(-g, e, a);
}
