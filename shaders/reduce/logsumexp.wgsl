// The logarithm of the sum of exponentials of an output's elements, or of a part of them.
#import common/math

// A NaN may be passed over, the sum meets it.
alias seen = f32;

const LEAST_SEEN: seen = -3.4028235e38;
const LOOKS: bool = true;
const ADDS: bool = true;

fn see(v: f32) -> seen {
    return v;
}

// An infinity can't be subtracted from itself.
fn unit_of(largest: seen) -> f32 {
    return select(0.0, largest, is_finite(largest));
}

fn term(v: f32, shift: f32) -> f32 {
    return lg_exp(v - shift);
}

fn finish(largest: seen, shift: f32, sum: f32) -> f32 {
    return shift + lg_log(sum);
}
