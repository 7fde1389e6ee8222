//! Data made by formulas, to try models on.

use super::array::HostArray;
use super::dataset::ArrayDataset;
use super::sampler::Random;
use std::f64::consts::PI;

/// Draws a normal number by Box and Muller's formula.
fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.uniform(0.0, 1.0)).ln()).sqrt();
    radius * (2.0 * PI * random.uniform(0.0, 1.0)).cos()
}

/// Points `x`, f32 `[samples, 2]`, with the class `y`, i32 `[samples]`.
fn points(samples: usize, mut point: impl FnMut(usize) -> ([f64; 2], i32)) -> ArrayDataset {
    let (mut x, mut y) = (Vec::with_capacity(2 * samples), Vec::with_capacity(samples));
    for i in 0..samples {
        let (place, class) = point(i);
        x.extend(place.map(|v| v as f32));
        y.push(class);
    }
    ArrayDataset::new([("x", HostArray::new(&[samples, 2], x)), ("y", HostArray::new(&[samples], y))])
}

/// Two half circles that reach into each other, of `samples` points in turn, as scikit-learn's `make_moons`. `noise` is
/// the standard deviation around them.
///
/// Fields: `x`, f32 `[2]`, and `y`, i32 `[]`, 0 or 1.
///
/// ```
/// use lumigrad::data::{Dataset, synthetic};
/// let data = synthetic::moons(200, 0.1, 0);
/// assert_eq!((data.len(), &data.fields()[0].shape[..]), (200, &[2][..]));
/// ```
pub fn moons(samples: usize, noise: f64, seed: u64) -> ArrayDataset {
    let mut random = Random::new(seed);
    points(samples, |i| {
        let angle = PI * random.uniform(0.0, 1.0);
        let [x, y] = if i % 2 == 0 { [angle.cos(), angle.sin()] } else { [1.0 - angle.cos(), 0.5 - angle.sin()] };
        ([x + noise * normal(&mut random), y + noise * normal(&mut random)], (i % 2) as i32)
    })
}

/// `classes` arms of a spiral, in turn.
///
/// Fields: `x`, f32 `[2]`, and `y`, i32 `[]`, below `classes`.
pub fn spirals(samples: usize, classes: usize, noise: f64, seed: u64) -> ArrayDataset {
    let mut random = Random::new(seed);
    let classes = classes.max(1);
    points(samples, |i| {
        let (class, radius) = (i % classes, random.uniform(0.0, 1.0));
        let angle = 2.0 * PI * class as f64 / classes as f64 + 4.0 * radius + noise * normal(&mut random);
        ([radius * angle.cos(), radius * angle.sin()], class as i32)
    })
}

/// Gaussian clouds of `features` dims round `classes` centres, in turn, as scikit-learn's `make_blobs`: centres are
/// uniform from −10 to 10, `deviation` is the clouds' standard deviation.
///
/// Fields: `x`, f32 `[features]`, and `y`, i32 `[]`, below `classes`.
pub fn blobs(samples: usize, features: usize, classes: usize, deviation: f64, seed: u64) -> ArrayDataset {
    let mut random = Random::new(seed);
    let classes = classes.max(1);
    let centres: Vec<f64> = (0..classes * features).map(|_| random.uniform(-10.0, 10.0)).collect();
    let (mut x, mut y) = (Vec::with_capacity(samples * features), Vec::with_capacity(samples));
    for i in 0..samples {
        let centre = &centres[i % classes * features..][..features];
        x.extend(centre.iter().map(|c| (c + deviation * normal(&mut random)) as f32));
        y.push((i % classes) as i32);
    }
    ArrayDataset::new([("x", HostArray::new(&[samples, features], x)), ("y", HostArray::new(&[samples], y))])
}

/// `y = w·x + b + noise` with normal `x` and weights that the seed draws.
///
/// Fields: `x`, f32 `[features]`, and `y`, f32 `[1]`.
pub fn linear(samples: usize, features: usize, noise: f64, seed: u64) -> ArrayDataset {
    let mut random = Random::new(seed);
    let weights: Vec<f64> = (0..=features).map(|_| normal(&mut random)).collect();
    let (mut x, mut y) = (Vec::with_capacity(samples * features), Vec::with_capacity(samples));
    for _ in 0..samples {
        let row: Vec<f64> = (0..features).map(|_| normal(&mut random)).collect();
        let sum: f64 = row.iter().zip(&weights).map(|(x, w)| x * w).sum();
        y.push((sum + weights[features] + noise * normal(&mut random)) as f32);
        x.extend(row.iter().map(|&v| v as f32));
    }
    ArrayDataset::new([("x", HostArray::new(&[samples, features], x)), ("y", HostArray::new(&[samples, 1], y))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn floats(data: &ArrayDataset, field: usize) -> &[f32] {
        data.arrays()[field].as_slice::<f32>().unwrap()
    }

    #[test]
    fn shapes_are_as_described() {
        let data = moons(1000, 0.0, 3);
        for (i, p) in floats(&data, 0).chunks(2).enumerate() {
            let centre = if i % 2 == 0 { [0.0, 0.0] } else { [1.0, 0.5] };
            let distance = ((p[0] - centre[0]).powi(2) + (p[1] - centre[1]).powi(2)).sqrt();
            assert!((distance - 1.0).abs() < 1e-5);
        }
        assert!(floats(&spirals(1000, 3, 0.0, 3), 0).chunks(2).all(|p| p[0].hypot(p[1]) <= 1.0));

        let data = blobs(3000, 4, 3, 0.5, 1);
        let x = floats(&data, 0);
        for class in 0..3 {
            let first: Vec<f64> = x.chunks(4).skip(class).step_by(3).map(|row| f64::from(row[0])).collect();
            let mean = first.iter().sum::<f64>() / 1000.0;
            let deviation = (first.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1000.0).sqrt();
            assert!((deviation - 0.5).abs() < 0.06 && mean.abs() < 10.2, "{deviation}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_data() {
        assert_eq!(moons(10, 0.1, 5).arrays(), moons(10, 0.1, 5).arrays());
        assert_ne!(moons(10, 0.1, 5).arrays(), moons(10, 0.1, 6).arrays());
        assert_eq!(linear(0, 3, 0.1, 0).len(), 0);
    }

    #[test]
    fn without_noise_a_line_is_a_line() {
        let data = linear(200, 1, 0.0, 2);
        let (x, y) = (floats(&data, 0), floats(&data, 1));
        let slope = (y[1] - y[0]) / (x[1] - x[0]);
        let residual = |i: usize| y[i] - y[0] - slope * (x[i] - x[0]);
        assert!((0..200).all(|i| residual(i).abs() < 1e-4));
    }
}
