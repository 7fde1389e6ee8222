//! How fast batches come from the loader, and how long a training waits for them.
//!
//!     cargo bench --bench loader
//!
//! Batches of 64 bundled MNIST digits with `Normalize`, shuffled. Other programs on the machine make rounds slower, never
//! faster, so the best of several is printed.

use std::time::{Duration, Instant};

use lumigrad::data::transforms::Normalize;
use lumigrad::data::{DataLoader, Dataset, Mnist, Split};
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

/// The steps of the example `mnist`, and how much of their time is spent in waiting for a batch.
fn training(device: &Device) -> Result<()> {
    let model = nn::Sequential::new()
        .add(nn::Flatten::new())
        .add(nn::Linear::new(784, 512))
        .add(nn::ReLU)
        .add(nn::Linear::new(512, 256))
        .add(nn::ReLU)
        .add(nn::Linear::new(256, 10));
    let mut optimizer = optim::Adam::new(model.parameters(), 1e-3);
    let data = digits().transform("images", Normalize::new(&[0.1307], &[0.3081]))?;
    let loader = loader(data, 1);
    for epoch in 0..3 {
        let (start, mut waits) = (Instant::now(), Vec::new());
        let mut batches = loader.epoch(epoch);
        loop {
            let asked = Instant::now();
            let Some(batch) = batches.next() else { break };
            waits.push(asked.elapsed());
            let batch = batch?;
            let (x, y) = (batch["images"].to_tensor(device)?, batch["labels"].to_tensor(device)?);
            let loss = model.call(&x).cross_entropy(&y);
            optimizer.zero_grad();
            loss.backward()?;
            optimizer.step()?;
        }
        device.synchronize()?;
        let seconds = start.elapsed().as_secs_f64();
        let waited: Duration = waits.iter().sum();
        let (steps, first) = (waits.len(), waits.remove(0));
        let long = waits.iter().filter(|wait| wait.as_millis() > 0).count();
        waits.sort();
        println!(
            "MLP 784-512-256-10, Adam, epoch {epoch}: {:.1} steps/s; waited for batches {:.3}% of the time: {:.3} ms for the \
             first, {:.4} ms at the median, {:.3} ms at most, more than 1 ms in {long} of {steps} steps",
            steps as f64 / seconds,
            100.0 * waited.as_secs_f64() / seconds,
            first.as_secs_f64() * 1e3,
            waits[waits.len() / 2].as_secs_f64() * 1e3,
            waits[waits.len() - 1].as_secs_f64() * 1e3,
        );
    }
    Ok(())
}
