//! The truncated normal distribution.

use super::{Draws, Initialize, write_host};
use crate::random::{normal2, uniform01};
use crate::{Error, Result};

/// The share of a normal distribution from which it pays to draw normals and drop those outside: PyTorch's.
const LARGE_SHARE: f64 = 0.3;

/// Normally distributed numbers, those outside of `a..=b` drawn again. PyTorch's defaults are 0, 1, −2 and 2: the bounds are
/// values, not multiples of `std`.
///
/// Where most normals would fall outside, candidates are drawn evenly from the range and kept with the probability that
/// the normal distribution gives them.
///
/// ```
/// use lumigrad::{nn::init, prelude::*};
/// let w = Parameter::new(Tensor::zeros(&[1000]));
/// init::trunc_normal_(&w, 0.0, 0.02, -0.04, 0.04)?;
/// assert!(w.get().to_vec::<f32>()?.iter().all(|v| v.abs() <= 0.04));
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// When `std` is not positive, `a` is above `b`, or hardly any normal lies in an infinite range.
pub fn trunc_normal_(target: &impl Initialize, mean: f64, std: f64, a: f64, b: f64) -> Result<()> {
    let target = target.target();
    let refuse = |detail: String| Err(Error::argument("trunc_normal_", detail));
    if !(std > 0.0 && std.is_finite() && mean.is_finite()) {
        return refuse(format!("needs a finite mean and a positive standard deviation, not {mean} and {std}"));
    }
    if a.is_nan() || b.is_nan() || a > b {
        return refuse(format!("the range from {a} to {b} is empty"));
    }
    let below = |x: f64| (1.0 + libm::erf((x - mean) / std / 2f64.sqrt())) / 2.0;
    let by_normals = below(b) - below(a) > LARGE_SHARE;
    if !by_normals && !(b - a).is_finite() {
        return refuse(format!("the range from {a} to {b} is infinite and hardly meets mean {mean} ± {std}"));
    }
    let draws = Draws::new(&target);
    let draw = |element: usize| {
        let attempts = 0..u32::MAX;
        let mut candidates = attempts.map(|attempt| {
            let words = draws.words(element, attempt);
            if by_normals { of_normals(words, mean, std) } else { of_range(words, mean, std, a, b) }
        });
        // Rounded first, so that what is kept lies in the range as a float.
        let inside = |v: f32| (a as f32..=b as f32).contains(&v);
        candidates.find_map(|pair| pair.into_iter().flatten().map(|v| v as f32).find(|&v| inside(v)))
    };
    let values: Option<Vec<f32>> = (0..target.numel()).map(draw).collect();
    match values {
        Some(values) => write_host(&target, &values),
        None => refuse(format!("no number between {a} and {b} was found for mean {mean} and deviation {std}")),
    }
}

/// Two normals.
fn of_normals([a, b, ..]: [u32; 4], mean: f64, std: f64) -> [Option<f64>; 2] {
    let (first, second) = normal2(a, b);
    [Some(mean + std * first), Some(mean + std * second)]
}

/// Two numbers of the range, each kept with a probability in proportion to its density.
fn of_range(
    [place, chance, other_place, other_chance]: [u32; 4],
    mean: f64,
    std: f64,
    a: f64,
    b: f64,
) -> [Option<f64>; 2] {
    let log_density = |v: f64| -0.5 * ((v - mean) / std).powi(2);
    let peak = log_density(mean.clamp(a, b));
    [(place, chance), (other_place, other_chance)].map(|(place, chance)| {
        let candidate = a + uniform01(place) * (b - a);
        let keep = uniform01(chance).ln() <= log_density(candidate) - peak;
        keep.then_some(candidate)
    })
}
