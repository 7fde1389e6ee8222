#import common/math

// x to a whole power, by at most twice as many multiplications as |exponent| has bits. A negative one starts from 1/x: a
// power of x could leave the range where that of 1/x does not.
fn power(x: f32, exponent: i32) -> f32 {
    var base = x;
    if exponent < 0 {
        base = lg_divide(1.0, x);
    }
    var result = 1.0;
    for (var rest = u32(abs(exponent)); rest > 0u; rest >>= 1u) {
        if (rest & 1u) != 0u {
            result *= base;
        }
        base *= base;
    }
    return result;
}

fn forward(x: elem, a: vec4<elem>) -> elem {
    return power(x, i32(a.x));
}

// n·xⁿ⁻¹, and 0 for n = 0 at every x.
fn backward(g: elem, x: elem, a: vec4<elem>) -> elem {
    return select(g * a.x * power(x, i32(a.x) - 1), 0.0, a.x == 0.0);
}
