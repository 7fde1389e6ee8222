// What the logarithm of a row's sum of exponentials is made of. The importing shader declares the scores,
//     var<storage, read> x: array<f32>;
#import common/math
#import common/class_loss

// Over every `step`-th class from `first`: the largest logit …
fn largest_of(start: u32, first: u32, step: u32) -> f32 {
    var largest = -inf_f32();
    for (var c = first; c < params.classes; c += step) {
        largest = max(largest, x[start + c * params.x_class]);
    }
    return largest;
}

// … and the sum of the exponentials of the distances to it.
fn sum_of(start: u32, first: u32, step: u32, largest: f32) -> f32 {
    var sum = 0.0;
    for (var c = first; c < params.classes; c += step) {
        sum += lg_exp(x[start + c * params.x_class] - largest);
    }
    return sum;
}
