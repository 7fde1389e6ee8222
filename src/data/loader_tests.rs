use super::*;
use crate::data::{ArrayDataset, HostArray, Kind, Mnist, Split};
use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// `samples` numbers, each its own index; `bad` does what `harm` says, and every sample takes `pause`.
struct Numbers {
    fields: Vec<Field>,
    samples: usize,
    bad: Option<usize>,
    harm: fn() -> Result<()>,
    pause: Duration,
    filled: AtomicUsize,
}

fn numbers(samples: usize) -> Numbers {
    Numbers {
        fields: vec![Field::new("x", &[2], Kind::I32), Field::new("unwritten", &[], Kind::F32)],
        samples,
        bad: None,
        harm: || Ok(()),
        pause: Duration::ZERO,
        filled: AtomicUsize::new(0),
    }
}

impl Dataset for Numbers {
    fn len(&self) -> usize {
        self.samples
    }
    fn fields(&self) -> &[Field] {
        &self.fields
    }
    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        self.filled.fetch_add(1, Ordering::SeqCst);
        thread::sleep(self.pause);
        if self.bad == Some(index) {
            // Garbage that must not show up in a later batch.
            sample.slot::<f32>(1)[0] = f32::NAN;
            (self.harm)()?;
        }
        let seed = sample.seed() as i32;
        sample.slot::<i32>(0).copy_from_slice(&[index as i32, seed]);
        Ok(())
    }
}

/// Numbers whose samples wait until four threads are at one.
struct Meeting {
    numbers: Numbers,
    arrived: Mutex<usize>,
    everyone: Condvar,
}

impl Dataset for Meeting {
    fn len(&self) -> usize {
        self.numbers.len()
    }
    fn fields(&self) -> &[Field] {
        self.numbers.fields()
    }
    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        let mut arrived = self.arrived.lock().unwrap();
        *arrived += 1;
        self.everyone.notify_all();
        let patience = Duration::from_secs(10);
        let (arrived, waited) = self.everyone.wait_timeout_while(arrived, patience, |arrived| *arrived < 4).unwrap();
        assert!(!waited.timed_out(), "only {} threads load at a time", *arrived);
        drop(arrived);
        self.numbers.fill(index, sample)
    }
}

/// The first column of `x` of every batch, batch by batch; indices must say the same.
fn contents(epoch: Epoch) -> Vec<Vec<i32>> {
    let rows = |batch: Batch| {
        let x: Vec<i32> = batch["x"].as_slice::<i32>().unwrap().iter().copied().step_by(2).collect();
        assert_eq!(x, batch.indices().iter().map(|&i| i as i32).collect::<Vec<_>>());
        assert!(batch["unwritten"].as_slice::<f32>().unwrap().iter().all(|&v| v == 0.0));
        x
    };
    epoch.map(|batch| rows(batch.unwrap())).collect()
}

/// Waits until `done`, at most ten seconds.
fn wait(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn batches_and_random_draws_do_not_depend_on_prefetch() {
    let all = |prefetch| {
        let loader = DataLoader::new(numbers(103)).batch_size(10).shuffle(true).seed(7).prefetch(prefetch);
        loader.epoch(3).flat_map(|b| b.unwrap()["x"].as_slice::<i32>().unwrap().to_vec()).collect::<Vec<i32>>()
    };
    let here = all(0);
    assert_eq!(here.len(), 206);
    for prefetch in [1, 2, 50] {
        assert_eq!(all(prefetch), here, "prefetch {prefetch}");
    }
}

#[test]
fn batches_and_random_draws_do_not_depend_on_the_number_of_workers() {
    let all = |workers, prefetch: Option<usize>| {
        let data = Numbers { pause: Duration::from_micros(20), ..numbers(203) };
        let loader = DataLoader::new(data).batch_size(10).shuffle(true).seed(7).num_workers(workers);
        let loader = match prefetch {
            Some(batches) => loader.prefetch(batches),
            None => loader,
        };
        loader.epoch(3).flat_map(|b| b.unwrap()["x"].as_slice::<i32>().unwrap().to_vec()).collect::<Vec<i32>>()
    };
    let here = all(0, None);
    assert_eq!(here.len(), 406);
    for workers in [1, 2, 5] {
        for prefetch in [None, Some(1), Some(3), Some(100)] {
            assert_eq!(all(workers, prefetch), here, "{workers} workers, prefetch {prefetch:?}");
        }
    }
}

#[test]
fn workers_share_the_work() {
    // Nobody gets past the first sample before four are at theirs.
    let data = Arc::new(Meeting { numbers: numbers(64), arrived: Mutex::new(0), everyone: Condvar::new() });
    let loader = DataLoader::new(data.clone()).batch_size(4).num_workers(4);
    assert_eq!(contents(loader.epoch(0)).len(), 16);
    assert_eq!(*data.arrived.lock().unwrap(), 64);
}

#[test]
fn a_samples_seed_depends_on_seed_epoch_and_index_alone() {
    let seeds = |loader: DataLoader, epoch| {
        let batches = loader.epoch(epoch).map(|b| b.unwrap());
        let mut all: Vec<_> =
            batches.flat_map(|b| b["x"].as_slice::<i32>().unwrap().as_chunks::<2>().0.to_vec()).collect();
        all.sort_unstable();
        all
    };
    let plain = seeds(DataLoader::new(numbers(30)).seed(1), 4);
    assert_eq!(plain.iter().map(|[_, seed]| seed).collect::<HashSet<_>>().len(), 30);
    assert_eq!(seeds(DataLoader::new(numbers(30)).seed(1).batch_size(7).shuffle(true), 4), plain);
    assert_ne!(seeds(DataLoader::new(numbers(30)).seed(1), 5), plain);
    assert_ne!(seeds(DataLoader::new(numbers(30)).seed(2), 4), plain);
}

#[test]
fn every_sample_comes_exactly_once() {
    let loader = DataLoader::new(numbers(103)).batch_size(10).shuffle(true);
    for epoch in 0..5 {
        let mut all = contents(loader.epoch(epoch)).concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
    }
}

#[test]
fn each_loop_is_the_next_epoch() {
    let loader = DataLoader::new(numbers(50)).batch_size(8).shuffle(true).seed(1);
    let loops: Vec<_> = (0..3).map(|_| contents((&loader).into_iter())).collect();
    assert!(loops[0] != loops[1] && loops[1] != loops[2]);
    assert_eq!(loops, (0..3).map(|e| contents(loader.epoch(e))).collect::<Vec<_>>());
    loader.set_epoch(1);
    assert_eq!(contents((&loader).into_iter()), loops[1]);
    let again = DataLoader::new(numbers(50)).batch_size(8).shuffle(true).seed(1);
    assert_eq!(contents(again.epoch(0)), loops[0]);
    assert_ne!(contents(again.seed(2).epoch(0)), loops[0]);
}

#[test]
fn the_last_batch_is_smaller_or_left_out() {
    let loader = DataLoader::new(numbers(10)).batch_size(4);
    assert_eq!((loader.len(), loader.epoch(0).len()), (3, 3));
    assert_eq!(contents(loader.epoch(0)), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    assert_eq!(contents(loader.epoch_from(0, 2)), [vec![8, 9]]);
    assert_eq!(contents(loader.epoch_from(0, 9)).len(), 0);
    let loader = loader.drop_last(true);
    assert_eq!((loader.len(), contents(loader.epoch(0)).len()), (2, 2));
    let loader = loader.batch_size(11);
    assert!(loader.is_empty() && loader.epoch(0).next().is_none());
    assert_eq!(contents(loader.drop_last(false).epoch(0)), [(0..10).collect::<Vec<_>>()]);
    assert!(DataLoader::new(numbers(0)).epoch(0).next().is_none());
}

#[test]
#[should_panic(expected = "batch_size is 0")]
fn a_batch_size_of_0_panics() {
    DataLoader::new(numbers(1)).batch_size(0);
}

#[test]
#[should_panic(expected = "exclude each other")]
fn shuffle_and_sampler_exclude_each_other() {
    DataLoader::new(numbers(1)).shuffle(true).sampler(SequentialSampler);
}

#[test]
fn a_sampler_of_ones_own_chooses() {
    struct Fixed(Vec<usize>);
    impl Sampler for Fixed {
        fn count(&self, _: usize) -> usize {
            self.0.len()
        }
        fn order(&self, _: usize, _: u64, order: &mut Vec<usize>) {
            order.extend(&self.0);
        }
    }
    let loader = DataLoader::new(numbers(5)).batch_size(2).sampler(Fixed(vec![3, 3, 0]));
    assert_eq!(loader.len(), 2);
    assert_eq!(contents(loader.epoch(0)), [vec![3, 3], vec![0]]);
    let e = DataLoader::new(numbers(5)).sampler(Fixed(vec![5])).epoch(0).next().unwrap().unwrap_err();
    assert!(matches!(e, Error::Sample { index: 5, .. }) && e.to_string().contains("has 5 samples"), "{e}");
}

#[test]
fn memory_is_used_again() {
    for prefetch in [0, 1, 3] {
        let loader = DataLoader::new(numbers(70)).batch_size(16).shuffle(true).prefetch(prefetch);
        let place = |b: Result<Batch>| b.unwrap()["x"].as_bytes().as_ptr();
        // The smallest batch comes first, and still its memory is large enough for all.
        let mut places: HashSet<_> = loader.epoch_from(0, 4).map(place).collect();
        places.extend((0..30).flat_map(|e| loader.epoch(e).map(place)));
        // Those loaded ahead and the one in use; not one more in 150 batches, the small last ones included.
        assert!(places.len() <= prefetch + 1, "{} buffers, prefetch {prefetch}", places.len());
    }
}

#[test]
fn loading_stops_when_enough_is_ready() {
    let data = Arc::new(numbers(400));
    let filled = || data.filled.load(Ordering::SeqCst);
    let mut epoch = DataLoader::new(data.clone()).batch_size(4).prefetch(3).epoch(0);
    for taken in 0..3 {
        wait(|| filled() >= (taken + 3) * 4);
        thread::sleep(Duration::from_millis(30));
        assert_eq!(filled(), (taken + 3) * 4, "after taking {taken}");
        epoch.next().unwrap().unwrap();
    }
    // Without prefetch nothing happens before it is asked for.
    let data = Arc::new(numbers(8));
    let mut epoch = DataLoader::new(data.clone()).batch_size(4).prefetch(0).epoch(0);
    thread::sleep(Duration::from_millis(5));
    assert_eq!(data.filled.load(Ordering::SeqCst), 0);
    epoch.next().unwrap().unwrap();
    assert_eq!(data.filled.load(Ordering::SeqCst), 4);
}

#[test]
fn a_bad_sample_is_an_error_and_the_rest_still_comes() {
    type Harm = fn() -> Result<()>;
    let harms: [(Harm, &str); 4] = [
        (|| Err(Error::format("image.png", "broken")), "data: sample 5: image.png: broken"),
        (|| Err(Error::Sample { index: 5, detail: "no pixels".into() }), "data: sample 5: no pixels"),
        (|| panic!("lost my {}", "footing"), "data: sample 5: loading it panicked: lost my footing"),
        (|| std::panic::panic_any(3u8), "data: sample 5: loading it panicked: no message"),
    ];
    for (harm, expected) in harms {
        for prefetch in [0, 1, 4] {
            let data = Numbers { bad: Some(5), harm, ..numbers(10) };
            let loader = DataLoader::new(data).batch_size(3).prefetch(prefetch);
            for _ in 0..2 {
                let mut epoch = loader.epoch(0);
                assert_eq!(epoch.next().unwrap().unwrap().indices(), [0, 1, 2]);
                let e = epoch.next().unwrap().unwrap_err();
                assert!(matches!(e, Error::Sample { index: 5, .. }), "{e:?}");
                assert_eq!(e.to_string(), expected);
                assert_eq!(contents(epoch), [vec![6, 7, 8], vec![9]]);
            }
        }
    }
}

#[test]
fn dropping_an_epoch_ends_its_thread() {
    // Batches take ten seconds each here, so an early end must come in the middle of one.
    let data = Arc::new(Numbers { pause: Duration::from_millis(10), ..numbers(100_000) });
    let loader = DataLoader::new(data.clone()).batch_size(1000);
    let epoch = loader.epoch(0);
    drop(loader);
    wait(|| data.filled.load(Ordering::SeqCst) > 2);
    let start = Instant::now();
    drop(epoch);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // At once, although the sample in progress takes its time: drop waited for the thread.
    assert_eq!(Arc::strong_count(&data), 1, "the thread still holds the dataset");
    let filled = data.filled.load(Ordering::SeqCst);
    thread::sleep(Duration::from_millis(30));
    assert_eq!(data.filled.load(Ordering::SeqCst), filled, "the thread still runs");
}

#[test]
fn dropping_wakes_a_thread_that_waits_for_room() {
    for prefetch in [1, 2, 5] {
        for taken in 0..3 {
            let data = Arc::new(numbers(1000));
            let mut epoch = DataLoader::new(data.clone()).prefetch(prefetch).epoch(0);
            (0..taken).for_each(|_| drop(epoch.next().unwrap().unwrap()));
            // All that may be loaded ahead is, so the thread waits or is about to.
            wait(|| data.filled.load(Ordering::SeqCst) == taken + prefetch);
            thread::sleep(Duration::from_millis(2));
            drop(epoch);
            assert_eq!(Arc::strong_count(&data), 1, "the thread still holds the dataset");
        }
    }
}

#[test]
fn batches_outlive_epoch_and_loader() {
    let loader = DataLoader::new(numbers(100)).batch_size(2);
    let epoch = loader.epoch(0);
    drop(loader);
    let batches: Vec<Batch> = epoch.map(|b| b.unwrap()).collect();
    for (n, batch) in batches.iter().enumerate() {
        assert_eq!(batch.indices(), [2 * n, 2 * n + 1]);
        assert_eq!(batch["x"].as_slice::<i32>().unwrap()[0], 2 * n as i32);
    }
    thread::spawn(move || drop(batches)).join().unwrap();
}

#[test]
fn in_memory_data_is_batched_as_it_is() {
    let x: Vec<f32> = (0..12).map(|v| v as f32).collect();
    let data =
        ArrayDataset::new([("x", HostArray::new(&[6, 2], x.clone())), ("y", HostArray::new(&[6], vec![3u8; 6]))]);
    let batch = DataLoader::new(data).batch_size(6).epoch(0).next().unwrap().unwrap();
    assert_eq!(batch["x"], HostArray::new(&[6, 2], x));
    assert_eq!(batch["y"], HostArray::new(&[6], vec![3u8; 6]));
}

#[test]
fn digits_load_fast() {
    let digits = Mnist::load(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k"), Split::Train).unwrap();
    let loader = DataLoader::new(digits).batch_size(64).shuffle(true);
    let start = Instant::now();
    let samples: usize = (0..5).map(|e| loader.epoch(e).map(|b| b.unwrap().len()).sum::<usize>()).sum();
    let elapsed = start.elapsed();
    assert_eq!(samples, 40_000);
    println!("{:.0} samples a second", samples as f64 / elapsed.as_secs_f64());
    // About a hundred times what it takes: this is against something pathological, not a benchmark.
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}
