//! In which order an epoch visits the samples.
//!
//! An order is a function of the seed and the epoch alone: it is the same on every platform, for every batch size and
//! number of threads, and needs no state in a checkpoint beyond those two numbers.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for; streams of one seed must not meet.
const ORDER: u64 = 0;
const SAMPLE: u64 = 1;
const WEIGHTED: u64 = 2;
const TRANSFORM: u64 = 3;

/// A generator for (seed, epoch, purpose, index). Those four fill ChaCha's 256-bit key exactly, so no two of them share
/// a stream.
fn generator(seed: u64, epoch: u64, purpose: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, epoch, purpose, index]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A number for the randomness of one sample; the key is seed, epoch and index.
pub(super) fn sample_seed([seed, epoch, index]: [u64; 3]) -> u64 {
    generator(seed, epoch, SAMPLE, index).next_u64()
}

/// A number for the transforms of one sample.
pub(super) fn transform_seed([seed, epoch, index]: [u64; 3]) -> u64 {
    generator(seed, epoch, TRANSFORM, index).next_u64()
}

/// Random numbers of one sample, for transforms. A seed gives the same ones on every machine.
pub struct Random {
    seed: u64,
    /// Made when the first number is drawn: many samples draw none.
    generator: Option<ChaCha8Rng>,
}

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Random { seed, generator: None }
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        *self = Random::new(seed);
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let seed = self.seed;
        self.generator.get_or_insert_with(|| generator(seed, 0, TRANSFORM, 0)).next_u64()
    }

    /// A number from `low` (included) to `high` (excluded).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * unit(self.bits())
    }

    /// A whole number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        unit(self.bits()) < probability
    }
}

/// Chooses which samples an epoch visits, and in which order.
///
/// A sampler of your own may leave samples out, repeat them or weigh them:
///
/// ```
/// use lumigrad::data::Sampler;
///
/// /// Every second sample.
/// struct Even;
///
/// impl Sampler for Even {
///     fn count(&self, samples: usize) -> usize {
///         samples.div_ceil(2)
///     }
///     fn order(&self, samples: usize, _epoch: u64, order: &mut Vec<usize>) {
///         order.extend((0..samples).step_by(2));
///     }
/// }
/// ```
pub trait Sampler: Send + Sync {
    /// How many positions an epoch over a dataset of `samples` has. All of them, unless said otherwise.
    fn count(&self, samples: usize) -> usize {
        samples
    }

    /// Appends the positions of an epoch to `order`, which is empty: [`Sampler::count`] of them, each below `samples`.
    /// It should depend on nothing but its arguments and the sampler's own settings.
    fn order(&self, samples: usize, epoch: u64, order: &mut Vec<usize>);
}

/// First to last, every epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct SequentialSampler;

impl Sampler for SequentialSampler {
    fn order(&self, samples: usize, _epoch: u64, order: &mut Vec<usize>) {
        order.extend(0..samples);
    }
}

/// Every sample once, in an order that each epoch draws anew from the seed.
///
/// ```
/// use lumigrad::data::{RandomSampler, Sampler};
///
/// let mut order = Vec::new();
/// RandomSampler { seed: 7 }.order(8, 0, &mut order);
/// assert_eq!(order, [2, 5, 7, 4, 1, 0, 3, 6]); // on every machine
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomSampler {
    /// Another seed is another sequence of orders.
    pub seed: u64,
}

impl Sampler for RandomSampler {
    fn order(&self, samples: usize, epoch: u64, order: &mut Vec<usize>) {
        order.extend(0..samples);
        let mut random = generator(self.seed, epoch, ORDER, 0);
        // Fisher-Yates, written out: the shuffle of a library may change with its version, and a run could then no
        // longer be repeated. Scaling 64 random bits leaves a bias below samples / 2^64.
        for last in (1..samples).rev() {
            let chosen = (random.next_u64() as u128 * (last as u128 + 1)) >> 64;
            order.swap(last, chosen as usize);
        }
    }
}

/// These samples once each, in an order that each epoch draws anew, as `torch.utils.data.SubsetRandomSampler`.
#[derive(Clone, Debug)]
pub struct SubsetRandomSampler {
    /// The samples.
    pub indices: Vec<usize>,
    /// Another seed is another sequence of orders.
    pub seed: u64,
}

impl Sampler for SubsetRandomSampler {
    fn count(&self, _samples: usize) -> usize {
        self.indices.len()
    }

    fn order(&self, _samples: usize, epoch: u64, order: &mut Vec<usize>) {
        RandomSampler { seed: self.seed }.order(self.indices.len(), epoch, order);
        order.iter_mut().for_each(|place| *place = self.indices[*place]);
    }
}

/// Draws samples by weight, as `torch.utils.data.WeightedRandomSampler`: for classes that are not equally frequent.
///
/// ```
/// use lumigrad::data::{Sampler, WeightedRandomSampler};
///
/// let sampler = WeightedRandomSampler::new(&[1.0, 0.0, 3.0], 1000).seed(7);
/// let mut order = Vec::new();
/// sampler.order(3, 0, &mut order);
/// let twos = order.iter().filter(|&&i| i == 2).count();
/// assert!(!order.contains(&1) && (700..800).contains(&twos));
/// ```
#[derive(Clone, Debug)]
pub struct WeightedRandomSampler {
    weights: Vec<f64>,
    draws: usize,
    replacement: bool,
    seed: u64,
}

impl WeightedRandomSampler {
    /// `draws` samples an epoch, with replacement; sample `i` comes with a probability proportional to `weights[i]`.
    ///
    /// # Panics
    /// When a weight is negative or not finite, or all are 0.
    #[track_caller]
    pub fn new(weights: &[f64], draws: usize) -> Self {
        let valid = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0);
        assert!(valid || draws == 0, "WeightedRandomSampler: weights must be finite, not negative and not all 0");
        WeightedRandomSampler { weights: weights.to_vec(), draws, replacement: true, seed: 0 }
    }

    /// Another seed is another sequence of draws (0).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether a sample can be drawn more than once an epoch (true).
    ///
    /// # Panics
    /// When it can't, and there are fewer samples of a weight above 0 than draws.
    #[track_caller]
    pub fn replacement(mut self, replacement: bool) -> Self {
        let possible = self.weights.iter().filter(|w| **w > 0.0).count();
        assert!(
            replacement || self.draws <= possible,
            "WeightedRandomSampler: {} draws without replacement, but only {possible} samples have a weight above 0",
            self.draws
        );
        self.replacement = replacement;
        self
    }
}

impl Sampler for WeightedRandomSampler {
    fn count(&self, _samples: usize) -> usize {
        self.draws
    }

    /// # Panics
    /// When there is not one weight a sample.
    fn order(&self, samples: usize, epoch: u64, order: &mut Vec<usize>) {
        let given = self.weights.len();
        assert!(given == samples, "WeightedRandomSampler: {given} weights for a dataset of {samples} samples");
        let mut random = generator(self.seed, epoch, WEIGHTED, 0);
        if self.replacement {
            let mut sum = 0.0;
            let ends: Vec<f64> = self
                .weights
                .iter()
                .map(|w| {
                    sum += w;
                    sum
                })
                .collect();
            // The last sample that can be drawn, where rounding puts a number at the very end.
            let last = self.weights.iter().rposition(|w| *w > 0.0).unwrap_or(0);
            order.extend((0..self.draws).map(|_| {
                let at = unit(random.next_u64()) * sum;
                ends.partition_point(|end| *end <= at).min(last)
            }));
            return;
        }
        // Efraimidis and Spirakis (2006): the largest u^(1/w) are a weighted draw without replacement.
        let mut keys: Vec<(f64, usize)> = self
            .weights
            .iter()
            .enumerate()
            .map(|(i, w)| {
                let u = 1.0 - unit(random.next_u64());
                (if *w > 0.0 { u.ln() / w } else { f64::NEG_INFINITY }, i)
            })
            .collect();
        keys.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.extend(keys[..self.draws].iter().map(|(_, i)| i));
    }
}

/// 53 random bits as a number from 0 (included) to 1 (excluded).
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_frequencies() {
        let draw = |sampler: &WeightedRandomSampler, epoch| {
            let mut order = Vec::new();
            sampler.order(4, epoch, &mut order);
            order
        };
        let sampler = WeightedRandomSampler::new(&[1.0, 2.0, 0.0, 5.0], 8000).seed(3);
        let order = draw(&sampler, 0);
        let count = |i| order.iter().filter(|&&o| o == i).count();
        // Standard deviations are below 45.
        assert!(count(0).abs_diff(1000) < 200 && count(1).abs_diff(2000) < 200 && count(3).abs_diff(5000) < 250);
        assert_eq!((count(2), sampler.count(4)), (0, 8000));
        assert_eq!(draw(&sampler, 0), order);
        assert_ne!(draw(&sampler, 1), order);

        // Without replacement: all once, and heavy ones earlier. The first is 3 with probability 5/8.
        let sampler = WeightedRandomSampler::new(&[1.0, 2.0, 0.0, 5.0], 3).replacement(false);
        let firsts = (0..2000).filter(|&epoch| {
            let order = draw(&sampler, epoch);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 3]);
            order[0] == 3
        });
        assert!(firsts.count().abs_diff(1250) < 110);
    }

    #[test]
    #[should_panic(expected = "3 draws without replacement, but only 2")]
    fn more_draws_than_samples_panic() {
        WeightedRandomSampler::new(&[1.0, 0.0, 2.0], 3).replacement(false);
    }

    #[test]
    fn a_random_subset_is_its_samples() {
        let sampler = SubsetRandomSampler { indices: vec![9, 4, 7], seed: 1 };
        let mut orders: Vec<Vec<usize>> = (0..30)
            .map(|epoch| {
                let mut order = Vec::new();
                sampler.order(10, epoch, &mut order);
                order
            })
            .collect();
        assert!(orders.iter().any(|o| o != &orders[0]));
        orders.iter_mut().for_each(|o| o.sort_unstable());
        assert!(orders.iter().all(|o| o == &[4, 7, 9]));
    }

    fn order(seed: u64, epoch: u64, samples: usize) -> Vec<usize> {
        let mut order = Vec::new();
        RandomSampler { seed }.order(samples, epoch, &mut order);
        order
    }

    #[test]
    fn a_shuffle_is_a_permutation_of_seed_and_epoch() {
        for n in [0, 1, 2, 1000] {
            let mut sorted = order(7, 3, n);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(order(7, 3, 1000), order(7, 3, 1000));
        assert_ne!(order(7, 3, 1000), order(7, 4, 1000));
        assert_ne!(order(7, 3, 1000), order(8, 3, 1000));
        // Seed and epoch are not just added up.
        assert_ne!(order(7, 3, 1000), order(3, 7, 1000));
    }

    #[test]
    fn the_order_never_changes_between_versions() {
        // Computed apart from this crate, from the definitions of ChaCha8 and of the shuffle.
        assert_eq!(order(7, 0, 8), [2, 5, 7, 4, 1, 0, 3, 6]);
        assert_eq!(order(u64::MAX, 1 << 40, 8), [4, 3, 6, 1, 2, 7, 5, 0]);
        assert_eq!(order(7, 0, 100)[..8], [22, 63, 75, 48, 80, 60, 70, 95]);
        assert_eq!(sample_seed([1, 2, 3]), 2960007554547416723);
    }

    #[test]
    fn positions_are_uniform() {
        // 6,000 shuffles of 4: each of 16 (place, sample) pairs is expected 1,500 times, standard deviation 34.
        let mut seen = [[0u32; 4]; 4];
        for epoch in 0..6000 {
            for (place, sample) in order(1, epoch, 4).into_iter().enumerate() {
                seen[place][sample] += 1;
            }
        }
        assert!(seen.iter().flatten().all(|&n| (1330..1670).contains(&n)), "{seen:?}");
    }

    #[test]
    fn sample_seeds_differ_in_every_part_of_the_key() {
        let base = sample_seed([1, 2, 3]);
        assert_eq!(base, sample_seed([1, 2, 3]));
        for other in [[9, 2, 3], [1, 9, 3], [1, 2, 9], [2, 1, 3], [3, 2, 1]] {
            assert_ne!(base, sample_seed(other));
        }
    }
}
