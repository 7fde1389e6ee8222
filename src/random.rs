//! Counter-based random numbers: the scalar twin of `shaders/common/random.wgsl`.
//!
//! A number is a function of a key (the seed) and a counter (which draw it is), never of the order in which numbers are
//! asked for. So a kernel on any device, a replayed step and the reference draw the same bits: words and uniforms are equal,
//! normals agree within a few ulp of f32.
//!
//! ```
//! use lumigrad::random::{normal2, philox, uniform01};
//!
//! let [a, b, c, _] = philox([0, 0, 0, 0], [42, 0]);
//! assert!((0.0..1.0).contains(&uniform01(c)));
//! let (x, y) = normal2(a, b);
//! assert!(x.hypot(y) < 6.7);
//! ```

use std::f64::consts::FRAC_PI_2;

/// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words for
/// each counter and key.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(c0) * 0xd251_1f53;
        let p1 = u64::from(c2) * 0xcd9e_8d57;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    [c0, c1, c2, c3]
}

/// A uniform number in [0, 1) from the upper 24 bits of a word; exact in f32 too.
pub fn uniform01(bits: u32) -> f64 {
    f64::from(bits >> 8) / f64::from(1 << 24)
}

/// Two independent standard normals from two words by Box and Muller (1958): sqrt(-2 ln u) (cos t, sin t) with
/// u = (a + 1) / 2^32 in (0, 1] and t = 2 pi b / 2^32.
pub fn normal2(a: u32, b: u32) -> (f64, f64) {
    let missing = f64::from(u32::MAX - a) / 2f64.powi(32);
    let radius = (-2.0 * (-missing).ln_1p()).sqrt();
    // The nearest quarter turn is taken off in integers, so that the zeros of sine and cosine are exact.
    let quadrant = b.wrapping_add(1 << 29) >> 30;
    let left = b.wrapping_sub(quadrant << 30).cast_signed();
    let (s, c) = (f64::from(left) / 2f64.powi(30) * FRAC_PI_2).sin_cos();
    let (cosine, sine) = match quadrant {
        0 => (c, s),
        1 => (-s, c),
        2 => (-c, -s),
        _ => (s, -c),
    };
    (radius * cosine, radius * sine)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with Random123.
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniforms_stay_in_range_and_spread_evenly() {
        assert_eq!(uniform01(0), 0.0);
        assert_eq!(uniform01(0xff), 0.0);
        assert_eq!(uniform01(u32::MAX), 1.0 - 2f64.powi(-24));
        let draws = 400_000;
        let mut bins = [0u32; 16];
        for i in 0..draws / 4 {
            for word in philox([i, 0, 0, 0], [7, 0]) {
                let x = uniform01(word);
                assert!((0.0..1.0).contains(&x));
                assert_eq!(f64::from(x as f32), x);
                bins[(x * 16.0) as usize] += 1;
            }
        }
        let expected = f64::from(draws) / 16.0;
        let chi2: f64 = bins.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert!(chi2 < 37.7, "chi squared {chi2} of 15 degrees of freedom (p < 0.001)");
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let pairs = 400_000;
        let mut sums = [0.0; 5];
        for i in 0..pairs / 2 {
            let [a, b, c, d] = philox([i, 0, 0, 0], [2026, 1]);
            for (x, y) in [normal2(a, b), normal2(c, d)] {
                for v in [x, y] {
                    for (power, sum) in (1..).zip(&mut sums[..4]) {
                        *sum += v.powi(power);
                    }
                }
                sums[4] += x * y;
            }
        }
        let n = 2.0 * f64::from(pairs);
        // Each bound is five standard errors: the variance of v^k over n.
        for (moment, (expected, variance)) in sums.iter().zip([(0.0, 1.0), (1.0, 2.0), (0.0, 15.0), (3.0, 96.0)]) {
            assert!((moment / n - expected).abs() < 5.0 * (variance / n).sqrt(), "{} for {expected}", moment / n);
        }
        assert!((sums[4] / f64::from(pairs)).abs() < 5.0 / f64::from(pairs).sqrt());
    }

    #[test]
    fn normals_at_the_edges() {
        assert_eq!(normal2(u32::MAX, 12345), (0.0, 0.0));
        let (x, y) = normal2(0, 0);
        assert!((x - (64.0 * std::f64::consts::LN_2).sqrt()).abs() < 1e-15);
        assert_eq!(y, 0.0);
        // A quarter, a half and three quarters of a turn are on the axes exactly.
        assert_eq!(normal2(1000, 1 << 30).0, 0.0);
        assert_eq!(normal2(1000, 2 << 30).1, 0.0);
        assert_eq!(normal2(1000, 3 << 30).0, 0.0);
        // Just under 1, -ln u is the missing part.
        let (x, _) = normal2(u32::MAX - 1, 0);
        assert!((x - (2f64 * 2f64.powi(-32)).sqrt()).abs() < 1e-14);
    }
}
