//! From a dataset to batches, loaded ahead of the training.
//!
//! Threads of an epoch fill batches, no more than a few ahead; they are handed over in order. What a batch holds depends
//! on the dataset, the seed and the epoch, never on a thread.

use super::batch::{Batch, Pool};
use super::dataset::{Dataset, Field, Sample, out_of_range};
use super::sampler::{RandomSampler, Sampler, SequentialSampler};
use crate::{Error, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Cuts a dataset into batches, as `torch.utils.data.DataLoader`.
///
/// Each loop over `&loader` is a new epoch, shuffled anew; [`DataLoader::epoch`] gives a certain one.
///
/// ```
/// use lumigrad::data::{DataLoader, Mnist, Split};
///
/// let digits = Mnist::load("data/mnist-10k", Split::Train)?;
/// let loader = DataLoader::new(digits).batch_size(64).shuffle(true).seed(7);
/// assert_eq!(loader.len(), 125);
/// for batch in &loader {
///     let batch = batch?;
///     assert_eq!(batch["images"].shape(), [64, 1, 28, 28]);
///     assert_eq!(batch["labels"].shape(), [64]);
/// }
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub struct DataLoader {
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    shuffle: bool,
    sampler: Option<Arc<dyn Sampler>>,
    seed: u64,
    drop_last: bool,
    workers: usize,
    prefetch: Option<usize>,
    pool: Arc<Pool>,
    next_epoch: AtomicU64,
}

/// The same batches; the count of epochs goes on from the original's.
impl Clone for DataLoader {
    fn clone(&self) -> Self {
        DataLoader {
            dataset: self.dataset.clone(),
            sampler: self.sampler.clone(),
            pool: self.pool.clone(),
            next_epoch: AtomicU64::new(self.next_epoch.load(Ordering::Relaxed)),
            ..*self
        }
    }
}

/// Batches beyond those loaded ahead whose memory is kept: the one in use, and a few more that a caller may hold.
const HELD: usize = 4;

/// Batches that each thread loads ahead, unless said otherwise; PyTorch's number.
const AHEAD: usize = 2;

impl DataLoader {
    /// A loader of single samples in order, by one thread, two batches ahead, with seed 0. Takes a dataset or an [`Arc`]
    /// of one.
    pub fn new(dataset: impl Dataset + 'static) -> Self {
        let pool = Pool::new(dataset.fields().into(), AHEAD + HELD);
        DataLoader {
            dataset: Arc::new(dataset),
            batch_size: 1,
            shuffle: false,
            sampler: None,
            seed: 0,
            drop_last: false,
            workers: 1,
            prefetch: None,
            pool,
            next_epoch: AtomicU64::new(0),
        }
    }

    /// Samples in a batch.
    ///
    /// # Panics
    /// When it is 0.
    #[track_caller]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        assert!(batch_size > 0, "DataLoader: batch_size is 0, expected at least 1");
        self.batch_size = batch_size;
        self
    }

    /// Whether each epoch visits the samples in a new random order ([`RandomSampler`]).
    ///
    /// # Panics
    /// When it is asked for together with a sampler.
    #[track_caller]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self.check_order()
    }

    /// Chooses samples and order by a [`Sampler`] of your own.
    ///
    /// # Panics
    /// When it is asked for together with `shuffle(true)`.
    #[track_caller]
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> Self {
        self.sampler = Some(Arc::new(sampler));
        self.check_order()
    }

    #[track_caller]
    fn check_order(self) -> Self {
        let both = self.shuffle && self.sampler.is_some();
        assert!(!both, "DataLoader: shuffle(true) and a sampler exclude each other; shuffle in the sampler");
        self
    }

    /// What all randomness of the loader is drawn from: the shuffles, and [`Sample::seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether a last batch with fewer samples is left out.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// How many threads load batches (1); 0 loads each on the calling thread when it is asked for. It changes the speed,
    /// never the batches.
    pub fn num_workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self.with_pool()
    }

    /// How many batches are loaded ahead, by all threads together (two a thread); 0 loads each on the calling thread when
    /// it is asked for. It changes the speed, never the batches.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = Some(batches);
        self.with_pool()
    }

    fn ahead(&self) -> usize {
        self.prefetch.unwrap_or(AHEAD * self.workers)
    }

    fn with_pool(mut self) -> Self {
        self.pool = Pool::new(self.pool.fields().clone(), self.ahead() + HELD);
        self
    }

    /// The dataset.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// Batches in an epoch.
    pub fn len(&self) -> usize {
        self.batches(self.with_sampler(|s| s.count(self.dataset.len())))
    }

    /// Whether an epoch has no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn batches(&self, samples: usize) -> usize {
        if self.drop_last { samples / self.batch_size } else { samples.div_ceil(self.batch_size) }
    }

    fn with_sampler<R>(&self, f: impl FnOnce(&dyn Sampler) -> R) -> R {
        match &self.sampler {
            Some(own) => f(&**own),
            None if self.shuffle => f(&RandomSampler { seed: self.seed }),
            None => f(&SequentialSampler),
        }
    }

    /// The batches of an epoch, the same ones whenever it is asked for.
    ///
    /// A sample that fails or panics makes its batch an `Err`; the batches after it still come.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from number `batch` on, to go on where a run was stopped. The ones before are not loaded.
    ///
    /// ```
    /// use lumigrad::data::{ArrayDataset, DataLoader, HostArray, Kind};
    ///
    /// let data = ArrayDataset::new([("x", HostArray::zeros(&[10, 3], Kind::F32))]);
    /// let loader = DataLoader::new(data).batch_size(4).shuffle(true);
    /// let third = loader.epoch(5).nth(2).unwrap()?;
    /// let resumed = loader.epoch_from(5, 2).next().unwrap()?;
    /// assert_eq!(third.indices(), resumed.indices());
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn epoch_from(&self, epoch: u64, batch: usize) -> Epoch {
        let samples = self.dataset.len();
        let mut order = Vec::with_capacity(samples);
        self.with_sampler(|s| s.order(samples, epoch, &mut order));
        let end = self.batches(order.len());
        let source = Source {
            dataset: self.dataset.clone(),
            pool: self.pool.clone(),
            order,
            batch_size: self.batch_size,
            key: [self.seed, epoch],
            stop: AtomicBool::new(false),
        };
        Epoch::start(source, batch.min(end)..end, self.workers, self.ahead())
    }

    /// Which epoch the next loop over `&loader` is; it counts on from there.
    pub fn set_epoch(&self, epoch: u64) {
        self.next_epoch.store(epoch, Ordering::Relaxed);
    }
}

/// A new epoch each time, counted from 0.
impl IntoIterator for &DataLoader {
    type Item = Result<Batch>;
    type IntoIter = Epoch;

    fn into_iter(self) -> Epoch {
        self.epoch(self.next_epoch.fetch_add(1, Ordering::Relaxed))
    }
}

/// All that it takes to load any batch of an epoch.
struct Source {
    dataset: Arc<dyn Dataset>,
    pool: Arc<Pool>,
    order: Vec<usize>,
    batch_size: usize,
    /// Seed and epoch.
    key: [u64; 2],
    /// Nobody wants the rest of the epoch any more.
    stop: AtomicBool,
}

impl Source {
    /// Loads a batch; nothing when told to stop before it is complete.
    fn load(&self, batch: usize) -> Option<Result<Batch>> {
        let start = batch * self.batch_size;
        let indices = &self.order[start..self.order.len().min(start + self.batch_size)];
        let mut at = indices[0];
        // A panic of the dataset must reach the caller as an error, not end the thread. The half-filled batch goes back
        // to the pool, whose content counts for nothing, so nothing broken is seen afterwards.
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            let mut batch = self.pool.take(indices, self.batch_size.min(self.order.len()));
            for (row, &index) in indices.iter().enumerate() {
                if self.stop.load(Ordering::Relaxed) {
                    return None;
                }
                at = index;
                if let Err(e) = self.fill(index, row, &mut batch) {
                    return Some(Err(e));
                }
            }
            Some(Ok(batch))
        }));
        loaded.unwrap_or_else(|panic| {
            Some(Err(Error::Sample { index: at, detail: format!("loading it panicked: {}", message(&*panic)) }))
        })
    }

    fn fill(&self, index: usize, row: usize, batch: &mut Batch) -> Result<()> {
        let samples = self.dataset.len();
        if index >= samples {
            return Err(out_of_range(index, samples));
        }
        let fields: &[Field] = self.pool.fields();
        let [seed, epoch] = self.key;
        let mut sample = Sample { fields, arrays: batch.arrays_mut(), row, key: [seed, epoch, index as u64] };
        // Row by row, while it is about to enter the cache anyway. A field the dataset leaves out would otherwise hold
        // whatever batch came before, which depends on timing.
        sample.clear();
        self.dataset.fill(index, &mut sample).map_err(|e| match e {
            Error::Sample { index: inner, .. } if inner == index => e,
            other => Error::Sample { index, detail: other.to_string() },
        })
    }
}

/// The text of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}

/// The batches of one epoch, in order.
///
/// It owns what it needs, so it may outlive the loader. Dropping it early stops the loading: it waits for the samples in
/// progress, not for their batches.
pub struct Epoch {
    source: Arc<Source>,
    rest: std::ops::Range<usize>,
    workers: Option<Workers>,
}

impl Epoch {
    fn start(source: Source, rest: std::ops::Range<usize>, workers: usize, prefetch: usize) -> Self {
        let source = Arc::new(source);
        let workers = if workers == 0 || prefetch == 0 || rest.is_empty() {
            None
        } else {
            Workers::start(&source, rest.clone(), workers.min(prefetch).min(rest.len()), prefetch)
        };
        Epoch { source, rest, workers }
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let batch = self.rest.next()?;
        // Threads that could not start cost speed only: the batch is loaded here.
        match &self.workers {
            Some(workers) => Some(workers.take(batch)),
            None => self.source.load(batch),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Epoch {}
impl FusedIterator for Epoch {}

/// The threads that load ahead. Each takes the next batch that nobody has begun, as long as no more than `prefetch` are
/// begun or waiting; the batches are handed over in order.
struct Workers {
    source: Arc<Source>,
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    state: Mutex<State>,
    /// A batch is ready.
    ready: Condvar,
    /// One more may be begun, or the end has come.
    room: Condvar,
    prefetch: usize,
}

struct State {
    /// Batches that nobody has begun.
    rest: std::ops::Range<usize>,
    /// The one to hand over next.
    wanted: usize,
    ready: BTreeMap<usize, Result<Batch>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room and gives a batch to load; nothing at the end.
    fn claim(&self, source: &Source) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.rest.is_empty() || source.stop.load(Ordering::Relaxed) {
                return None;
            }
            if state.rest.start - state.wanted < self.prefetch {
                return state.rest.next();
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, batch: usize, loaded: Result<Batch>) {
        self.lock().ready.insert(batch, loaded);
        self.ready.notify_one();
    }
}

impl Workers {
    /// Nothing where no thread can be had, as in a browser.
    fn start(source: &Arc<Source>, rest: std::ops::Range<usize>, workers: usize, prefetch: usize) -> Option<Self> {
        let state = State { wanted: rest.start, rest, ready: BTreeMap::new() };
        let queue = Arc::new(Queue { state: Mutex::new(state), ready: Condvar::new(), room: Condvar::new(), prefetch });
        let mut threads = Vec::with_capacity(workers);
        for _ in 0..workers {
            let (source, queue) = (source.clone(), queue.clone());
            let work = move || {
                while let Some(batch) = queue.claim(&source) {
                    let Some(loaded) = source.load(batch) else { break };
                    queue.put(batch, loaded);
                }
            };
            match thread::Builder::new().name("lumigrad-data".into()).spawn(work) {
                Ok(thread) => threads.push(thread),
                Err(e) => {
                    log::warn!("{} of {workers} threads to load batches ahead could be had ({e})", threads.len());
                    break;
                }
            }
        }
        (!threads.is_empty()).then(|| Workers { source: source.clone(), queue, threads })
    }

    /// Waits for a batch, which must be the next.
    fn take(&self, batch: usize) -> Result<Batch> {
        let mut state = self.queue.lock();
        loop {
            if let Some(loaded) = state.ready.remove(&batch) {
                state.wanted = batch + 1;
                self.queue.room.notify_one();
                return loaded;
            }
            state = self.queue.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.source.stop.store(true, Ordering::Relaxed);
        // Under the lock, so that no thread is between its look at `stop` and its wait.
        drop(self.queue.lock());
        self.queue.room.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
