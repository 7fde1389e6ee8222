//! How fast batches come from the loader, and how long a training waits for them.
//!
//!     cargo bench --bench loader
//!
//! Batches of 64 bundled MNIST digits with `Normalize`, shuffled. Other programs on the machine make rounds slower, never
//! faster, so the best of several is printed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lumigrad::data::transforms::{Normalize, Transformed};
use lumigrad::data::{Batch, DataLoader, Dataset, Field, Mnist, Sample, Split};
use lumigrad::{nn, optim, prelude::*};

const ROUNDS: u64 = 15;

fn digits() -> Mnist {
    Mnist::load(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k"), Split::Train).expect("the digits are there")
}

fn loader(data: impl Dataset + 'static, workers: usize) -> DataLoader {
    DataLoader::new(data).batch_size(64).shuffle(true).num_workers(workers)
}

fn main() -> Result<()> {
    let device = Device::from_env()?;
    println!("# {device}");
    println!("images a second, best of {ROUNDS} epochs");
    for workers in [0, 1, 2] {
        let normalize = || digits().transform("images", Normalize::new(&[0.1307], &[0.3081]));
        let alone = rate(&loader(normalize()?, workers), None)?;
        let uploaded = rate(&loader(normalize()?, workers), Some(&device))?;
        println!("  Normalize, {workers} workers: {alone:.0}; with the upload: {uploaded:.0}");
    }
    let alone = rate(&loader(digits(), 1), None)?;
    let uploaded = rate(&loader(digits(), 1), Some(&device))?;
    println!("  bytes, 1 worker: {alone:.0}; with the upload, and the division on the device: {uploaded:.0}");
    device.scope(|| training(&device))
}

/// Images a second over an epoch, uploaded or not.
fn rate(loader: &DataLoader, upload: Option<&Device>) -> Result<f64> {
    let mut best = 0.0f64;
    for epoch in 0..ROUNDS {
        let (start, mut images) = (Instant::now(), 0);
        for batch in loader.epoch(epoch) {
            let batch = batch?;
            images += batch.len();
            if let Some(device) = upload {
                batch.to_tensors(device)?;
            }
        }
        if let Some(device) = upload {
            device.synchronize()?;
        }
        best = best.max(images as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Digits that count how many were loaded, to tell a batch that is late from a thread that has to wait for a processor.
struct Counted(Transformed<Mnist>, Arc<AtomicUsize>);

impl Dataset for Counted {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn fields(&self) -> &[Field] {
        self.0.fields()
    }
    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        self.0.fill(index, sample)?;
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The steps of the example `mnist`: whether they are slower with the loader than with batches that are there already,
/// how many batches were not loaded when they were asked for, and how much of the time was spent in asking.
fn training(device: &Device) -> Result<()> {
    let model = nn::Sequential::new().add(nn::Flatten::new()).add(common::mlp());
    let mut optimizer = optim::Adam::new(model.parameters(), 1e-3);
    let mut step = |batch: &Batch| -> Result<()> {
        let batch = [batch["images"].to_tensor(device)?, batch["labels"].to_tensor(device)?];
        common::train(&model, &mut optimizer, &batch).map(drop)
    };
    let loaded = Arc::new(AtomicUsize::new(0));
    let data = digits().transform("images", Normalize::new(&[0.1307], &[0.3081]))?;
    let loader = loader(Counted(data, loaded.clone()), 1).prefetch(8);
    let there: Vec<Batch> = loader.epoch(0).collect::<Result<_>>()?;
    let steps = there.len() as f64;
    println!("MLP 784-512-256-10, Adam, one worker, 8 batches ahead");
    let (mut best_there, mut best_loaded) = (0.0f64, 0.0f64);
    for epoch in 0..5 {
        let start = Instant::now();
        there.iter().try_for_each(&mut step)?;
        device.synchronize()?;
        let rate_there = steps / start.elapsed().as_secs_f64();

        loaded.store(0, Ordering::Relaxed);
        let (start, mut waits, mut late) = (Instant::now(), Vec::new(), 0);
        let mut batches = loader.epoch(epoch);
        loop {
            let needed = (64 * (waits.len() + 1)).min(loader.dataset().len());
            // The first has nobody's step to be loaded in.
            late += usize::from(!waits.is_empty() && loaded.load(Ordering::Relaxed) < needed);
            let ask = Instant::now();
            let Some(batch) = batches.next() else { break };
            waits.push(ask.elapsed());
            step(&batch?)?;
        }
        device.synchronize()?;
        let seconds = start.elapsed().as_secs_f64();
        let (rate, waited) = (steps / seconds, waits.iter().sum::<Duration>().as_secs_f64());
        waits.sort();
        println!(
            "  {rate_there:.1} steps/s with batches in memory, {rate:.1} with the loader; {late} of {steps} batches were not there \
             yet; asking took {:.2}% of the time, {:.1} µs at the median",
            100.0 * waited / seconds,
            waits[waits.len() / 2].as_secs_f64() * 1e6,
        );
        (best_there, best_loaded) = (best_there.max(rate_there), best_loaded.max(rate));
    }
    println!("  best: {best_there:.1} steps/s with batches in memory, {best_loaded:.1} with the loader");
    Ok(())
}
