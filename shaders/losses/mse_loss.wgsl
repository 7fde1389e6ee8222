fn loss(e: Element, a: vec4<f32>) -> f32 {
    let difference = e.x - e.t;
    return difference * difference;
}

fn input_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    return 2.0 * g * (e.x - e.t);
}

fn target_gradient(g: f32, e: Element, a: vec4<f32>) -> f32 {
    return 2.0 * g * (e.t - e.x);
}
