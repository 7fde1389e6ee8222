// Counter-based random numbers: the same bits on every device, for every order of execution. `src/random.rs` is the
// scalar twin.
#import common/math

/// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words
/// for each counter and key.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    c = philox_round(c, k);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    return philox_round(c, k);
}

/// One round: two multiplications to 64 bits, halves swapped and mixed with the key.
fn philox_round(c: vec4<u32>, k: vec2<u32>) -> vec4<u32> {
    let p0 = lg_mul_wide(0xd2511f53u, c.x);
    let p1 = lg_mul_wide(0xcd9e8d57u, c.z);
    return vec4<u32>(p1.x ^ c.y ^ k.x, p1.y, p0.x ^ c.w ^ k.y, p0.y);
}

/// A uniform number in [0, 1): the upper 24 bits, so exact in f32.
fn uniform01(bits: u32) -> f32 {
    return f32(bits >> 8u) * 5.9604645e-08;
}

/// Two independent standard normals by Box and Muller (1958): sqrt(-2 log u) (cos t, sin t) with u = (a + 1) / 2^32 in (0, 1] and
/// t = 2 pi b / 2^32. All 32 bits of each word count: the tails reach 6.66, and u near 1 and t near a zero of either
/// function keep their relative accuracy. 3.3 ulp; 4 if the worst a met the worst b.
fn normal2(a: u32, b: u32) -> vec2<f32> {
    // u = (m + low) 2^k with 24 bits in m, sqrt(1/2) <= m < sqrt(2), and 8 bits in low; a + 1 = 2^32 wraps to 0.
    let n = a + 1u;
    let zeros = min(countLeadingZeros(n), 31u);
    let word = n << zeros;
    let halve = word >= 0xb504f334u;
    let f = lg_keep(f32(word >> 8u) * select(1.1920929e-07, 5.9604645e-08, halve) - 1.0)
        + f32(word & 0xffu) * select(4.65661287e-10, 2.32830644e-10, halve);
    let k = f32(select(-1, 0, halve) - bitcast<i32>(zeros));
    let rest = lg_keep(f + (k * 1.42860677e-06 + lg_log_tail(f)));
    let log_u = k * 0.693145752 + rest;
    let radius = select(lg_sqrt(-2.0 * log_u), 0.0, n == 0u);

    // The nearest quarter turn, and what is left in units of 2^-30 quarter turns, both exact.
    let quadrant = (b + 0x20000000u) >> 30u;
    let left = bitcast<i32>(b - (quadrant << 30u));
    let unit = select(9.31322575e-10, -9.31322575e-10, left < 0);
    let size = lg_half_pi_times(bitcast<u32>(abs(left)));
    let r = LgPair(size.hi * unit, size.lo * unit);
    let c = lg_cos_reduced(r);
    let s = lg_sin_reduced(r);
    let swap = (quadrant & 1u) == 1u;
    let cosine = select(select(c, -s, swap), select(-c, s, swap), quadrant >= 2u);
    let sine = select(select(s, c, swap), select(-s, -c, swap), quadrant >= 2u);
    return vec2<f32>(radius * cosine, radius * sine);
}
