//! What benches share.

// Every bench uses its part of this file.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use lumigrad::{nn, prelude::*};

/// The network of the MNIST tutorial.
pub fn mlp() -> nn::Sequential {
    let layers = nn::Sequential::new().add(nn::Linear::new(784, 512)).add(nn::ReLU);
    layers.add(nn::Linear::new(512, 256)).add(nn::ReLU).add(nn::Linear::new(256, 10))
}

/// A training step on inputs and labels; nothing is read.
pub fn train(model: &nn::Sequential, optimizer: &mut impl Optimizer, batch: &[Tensor]) -> Result<Tensor> {
    let loss = model.call(&batch[0]).cross_entropy(&batch[1]);
    optimizer.zero_grad();
    loss.backward()?;
    optimizer.step()?;
    Ok(loss)
}

/// The time of `rounds` runs of `work` in a row, which read nothing, until the device has done them all.
pub fn device_time(device: &Device, rounds: u64, mut work: impl FnMut()) -> Duration {
    device.synchronize().expect("the device works");
    let start = Instant::now();
    (0..rounds).for_each(|_| work());
    device.synchronize().expect("the device works");
    start.elapsed()
}

/// Seconds of one call: the median over five rounds of so many, after a warm-up.
pub fn median_time(device: &Device, calls: u64, mut call: impl FnMut()) -> f64 {
    device_time(device, calls.min(10), &mut call);
    let mut rounds: Vec<f64> =
        (0..5).map(|_| device_time(device, calls, &mut call).as_secs_f64() / calls as f64).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[2]
}

/// The part of a name that the command line asks for, empty for everything.
pub fn named() -> String {
    std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default()
}
