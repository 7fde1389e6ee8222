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
