//! How much is done in a second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use web_time::Instant;

use super::{lock, module};

/// Samples, or whatever is counted, a second, over the last steps: Lightning's `Throughput`.
///
/// The device works behind the program, but never far: over many steps both are as fast. A
/// [`ThroughputMonitor`](crate::train::ThroughputMonitor) logs it.
///
/// ```
/// use lumigrad::metrics::Throughput;
/// let throughput = Throughput::new();
/// for _ in 0..10 {
///     // A step with 64 samples.
///     throughput.update(64);
/// }
/// assert!(throughput.compute().unwrap() > 0.0 && throughput.total() == 640);
/// ```
#[derive(Clone, Debug)]
pub struct Throughput(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    window: usize,
    /// When, and how much was done by then.
    steps: VecDeque<(Instant, u64)>,
}

impl Throughput {
    /// Over the last 100 steps.
    pub fn new() -> Self {
        Self::over(100)
    }

    /// Over the last `steps` steps.
    ///
    /// # Panics
    /// When there are none.
    #[track_caller]
    pub fn over(steps: usize) -> Self {
        assert!(steps > 0, "Throughput: 0 steps, expected 1 or more");
        let state = State { window: steps, steps: VecDeque::new() };
        let throughput = Throughput(Arc::new(Mutex::new(state)));
        throughput.reset();
        throughput
    }

    /// A step with this many samples is done.
    pub fn update(&self, samples: usize) {
        let mut state = lock(&self.0);
        let done = state.steps.back().map_or(0, |(_, done)| *done) + samples as u64;
        state.steps.push_back((Instant::now(), done));
        if state.steps.len() > state.window + 1 {
            state.steps.pop_front();
        }
    }

    /// Samples a second; nothing before the first step.
    pub fn compute(&self) -> Option<f64> {
        let state = lock(&self.0);
        let (first, last) = (state.steps.front()?, state.steps.back()?);
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        (state.steps.len() > 1).then(|| (last.1 - first.1) as f64 / seconds.max(f64::MIN_POSITIVE))
    }

    /// All samples since the beginning.
    pub fn total(&self) -> u64 {
        lock(&self.0).steps.back().map_or(0, |(_, done)| *done)
    }

    /// Goes on with the next step: the time until now does not count.
    pub fn pause(&self) {
        let mut state = lock(&self.0);
        let done = state.steps.back().map_or(0, |(_, done)| *done);
        state.steps.clear();
        state.steps.push_back((Instant::now(), done));
    }

    /// Begins anew, now.
    pub fn reset(&self) {
        let mut state = lock(&self.0);
        state.steps.clear();
        state.steps.push_back((Instant::now(), 0));
    }
}

module!(Throughput);

impl Default for Throughput {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_steps_count() {
        let throughput = Throughput::over(2);
        assert_eq!((throughput.compute(), throughput.total()), (None, 0));
        throughput.update(1_000_000_000);
        std::thread::sleep(std::time::Duration::from_millis(20));
        throughput.update(1);
        throughput.update(1);
        assert_eq!(throughput.total(), 1_000_000_002);
        let rate = throughput.compute().unwrap();
        assert!(rate > 0.0 && rate <= 2.0 / 0.02, "{rate}");
        throughput.pause();
        assert_eq!((throughput.compute(), throughput.total()), (None, 1_000_000_002));
        throughput.reset();
        assert_eq!(throughput.total(), 0);
    }
}
