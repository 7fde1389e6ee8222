#import common/math

// a.x is β.
fn loss(e: Element, a: vec4<f32>) -> f32 {
    let difference = abs(e.x - e.t);
    let near = 0.5 * difference * lg_divide(difference, a.x);
    return select(near, difference - 0.5 * a.x, is_far(difference, a.x));
}

// NaN is not far.
fn is_far(size: f32, beta: f32) -> bool {
    return bitcast<u32>(size) >= bitcast<u32>(beta) && !is_nan(size);
}

fn input_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    let difference = e.x - e.t;
    let far = select(g, -g, difference < 0.0);
    return select(g * lg_divide(difference, a.x), far, is_far(abs(difference), a.x));
}

fn target_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    return input_gradient(-g, e, a);
}
