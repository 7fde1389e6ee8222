//! Where the time of a training step goes: a table of kernels and operations, and a trace for <https://ui.perfetto.dev>.
//!
//!     cargo run --release --example profile
//!
//! Profiles steps of the MNIST MLP, run as written and then replayed. The traces go to `out`, or the folder that is given.

use std::path::PathBuf;

use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::{nn, optim, prelude::*};

fn main() -> Result<()> {
    let out = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "out".into()));
    let images = Mnist::load(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k"), Split::Train)?;
    let batches = DataLoader::new(images).batch_size(64).epoch(0).take(24).collect::<Result<Vec<_>>>()?;
    let device = Device::current();
    let tensors = |i: usize| -> Result<[Tensor; 2]> {
        Ok([batches[i]["images"].to_tensor(&device)?, batches[i]["labels"].to_tensor(&device)?])
    };
    let model = nn::Sequential::new()
        .add(nn::Flatten::new())
        .add(nn::Linear::new(784, 512))
        .add(nn::ReLU)
        .add(nn::Linear::new(512, 256))
        .add(nn::ReLU)
        .add(nn::Linear::new(256, 10));
    let mut optimizer = optim::Adam::new(model.parameters(), 1e-3);
    let mut step = |inputs: &[Tensor]| {
        let loss = model.call(&inputs[0]).cross_entropy(&inputs[1]);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(loss)
    };

    // Kernels are compiled in the first steps: these are not profiled.
    for i in 0..2 {
        step(&tensors(i)?)?;
    }
    let (result, profile) = lumigrad::profile(|| (2..12).try_for_each(|i| step(&tensors(i)?).map(drop)));
    result?;
    println!("{profile}\n{}", profile.memory());
    profile.save_trace(out.join("profile.json"))?;

    let mut capture = device.capture();
    let mut replayed = |i: usize| {
        let [x, y] = tensors(i)?;
        capture.run(&[&x, &y], &mut step)
    };
    for i in 10..14 {
        replayed(i)?;
    }
    let (result, profile) = lumigrad::profile(|| (14..24).try_for_each(|i| replayed(i).map(drop)));
    result?;
    println!("The same, replayed\n\n{profile}");
    profile.save_trace(out.join("profile-replayed.json"))
}
