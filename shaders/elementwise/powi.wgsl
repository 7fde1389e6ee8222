#import common/math

// Powers start from 1/x where the exponent is negative: a power of x could leave the range where that of 1/x does not.
fn base_of(x: f32, exponent: i32) -> f32 {
    return select(x, lg_divide(1.0, x), exponent < 0);
}

// A whole power, by at most twice as many multiplications as the exponent has bits.
fn power(x: f32, exponent: u32) -> f32 {
    var base = x;
    var result = 1.0;
    for (var rest = exponent; rest > 0u; rest >>= 1u) {
        if (rest & 1u) != 0u {
            result *= base;
        }
        base *= base;
    }
    return result;
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    let exponent = i32(a.x);
    return power(base_of(x, exponent), u32(abs(exponent)));
}

// n·xⁿ⁻¹, and 0 for n = 0 at every x. The other factors are put in between two halves of the power, which alone may be too
// small for a float where the product is not.
fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    let exponent = i32(a.x) - 1;
    let base = base_of(x, exponent);
    let times = u32(abs(exponent));
    let half = power(base, times >> 1u);
    let d = lg_keep(lg_keep(g * a.x * half) * half) * select(1.0, base, (times & 1u) != 0u);
    return select(d, 0.0, a.x == 0.0);
}
