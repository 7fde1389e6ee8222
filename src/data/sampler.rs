//! In which order an epoch visits the samples.
//!
//! An order is a function of the seed and the epoch alone: it is the same on every platform, for every batch size and
//! number of threads, and needs no state in a checkpoint beyond those two numbers.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for; streams of one seed must not meet.
const ORDER: u64 = 0;
const SAMPLE: u64 = 1;

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

#[cfg(test)]
mod tests {
    use super::*;

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
