#import common/math

fn is_zero(x: f32) -> bool {
    return (bitcast<u32>(x) << 1u) == 0u;
}

// a.x is 1 if the target is a logarithm.
fn loss(e: Element, a: vec4<f32>) -> f32 {
    if a.x != 0.0 {
        return lg_exp_times(e.t, e.t - e.x);
    }
    return select(e.t * lg_log(e.t), 0.0, is_zero(e.t)) - e.t * e.x;
}

fn input_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    if a.x != 0.0 {
        return lg_exp_times(e.t, -g);
    }
    return -g * e.t;
}

fn target_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    if a.x != 0.0 {
        return lg_exp_times(e.t, g * (e.t - e.x + 1.0));
    }
    // At 0 the derivative of t·log t is infinite; PyTorch gives NaN.
    return select(g * (lg_log(e.t) + 1.0 - e.x), nan_f32(), is_zero(e.t));
}
