//! Counts of values in TensorFlow's buckets.

use std::sync::OnceLock;

use super::proto::Histogram;
use crate::{Error, Result};

/// The ends of the buckets: ±1e-12, each 1.1 times the last, up to 1e20, and 0.
fn edges() -> &'static [f64] {
    static EDGES: OnceLock<Vec<f64>> = OnceLock::new();
    EDGES.get_or_init(|| {
        let positive: Vec<f64> =
            std::iter::successors(Some(1e-12), |v| Some(v * 1.1)).take_while(|v| *v < 1e20).collect();
        positive.iter().rev().map(|v| -v).chain([0.0]).chain(positive.iter().copied()).collect()
    })
}

/// The histogram of the finite values.
pub(super) fn histogram(tag: &str, values: &[f64]) -> Result<Histogram> {
    let edges = edges();
    let mut counts = vec![0.0; edges.len() - 1];
    let mut all = Histogram { min: f64::INFINITY, max: f64::NEG_INFINITY, ..Histogram::default() };
    for &value in values.iter().filter(|v| v.is_finite()) {
        (all.min, all.max) = (all.min.min(value), all.max.max(value));
        (all.num, all.sum, all.sum_squares) = (all.num + 1.0, all.sum + value, all.sum_squares + value * value);
        // A bucket has its lower end, the last one both.
        let above = edges.partition_point(|edge| *edge <= value);
        let last = above == edges.len() && value == edges[above - 1];
        if above > 0 && (above < edges.len() || last) {
            counts[above - 1 - usize::from(last)] += 1.0;
        }
    }
    let first = counts.iter().position(|count| *count > 0.0);
    let Some(first) = first else {
        let detail = format!("{tag:?}: none of {} values is a number within ±1e20", values.len());
        return Err(Error::argument("add_histogram", detail));
    };
    let end = counts.iter().rposition(|count| *count > 0.0).expect("there is a first one") + 1;
    // TensorBoard knows the upper ends only: an empty bucket before the first tells where that one begins.
    all.bucket_limit = edges[first..=end].to_vec();
    all.bucket = [0.0].into_iter().chain(counts[first..end].iter().copied()).collect();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_pytorchs() {
        // len(SummaryWriter().default_bins) and some of them.
        assert_eq!(edges().len(), 1549);
        assert_eq!((edges()[774], edges()[775], edges()[776]), (0.0, 1e-12, 1.100_000_000_000_000_2e-12));
        assert_eq!(edges()[0], -*edges().last().unwrap());
    }

    #[test]
    fn counts_and_sums() {
        let h = histogram("x", &[-1.0, 0.0, 0.5, 0.5, 2.0, f64::NAN, f64::INFINITY]).unwrap();
        assert_eq!((h.min, h.max, h.num, h.sum, h.sum_squares), (-1.0, 2.0, 5.0, 2.0, 5.5));
        assert_eq!(h.bucket.iter().sum::<f64>(), 5.0);
        assert_eq!(h.bucket.len(), h.bucket_limit.len());
        let filled: Vec<(f64, f64)> =
            h.bucket.iter().copied().zip(h.bucket_limit.iter().copied()).filter(|(n, _)| *n > 0.0).collect();
        for ((count, limit), (expected, value)) in filled.iter().zip([(1.0, -1.0), (1.0, 0.0), (2.0, 0.5), (1.0, 2.0)])
        {
            assert_eq!(*count, expected);
            assert!(*limit > value && limit - value < 0.1 * value.abs() + 1e-11, "{limit} for {value}");
        }
        assert!(histogram("x", &[]).is_err() && histogram("x", &[f64::NAN]).is_err());
    }
}
