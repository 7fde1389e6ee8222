//! ResNet-18 learns a batch of synthetic pictures by heart.
//!
//!     cargo run --release --example resnet18 -- [steps]
//!
//! Each picture is noise tinted by its class, so that the loss falls within a few steps.

mod model;

use std::time::Instant;

use lumigrad::{optim::SGD, prelude::*};
use model::ResNet;

fn main() -> Result<()> {
    let steps: usize = std::env::args().nth(1).map_or(Ok(10), |n| n.parse()).expect("the number of steps");
    let device = Device::from_env()?;
    Device::set_default(&device);
    device.manual_seed(0);
    let model = ResNet::new([2, 2, 2, 2], 1000);
    println!("ResNet-18, {} parameters, on {device}", model.num_parameters());
    let mut optimizer = SGD::new(model.parameters(), 0.01).momentum(0.9);
    let (batch, size) = (8, 64);
    let labels: Vec<i32> = (0..batch as i32).map(|i| i * 100).collect();
    let tint = Tensor::uniform_on(&[batch, 3, 1, 1], -1.0, 1.0, &device);
    let images = Tensor::randn(&[batch, 3, size, size]) + tint;
    let labels = Tensor::from_slice(&labels, &[batch]);
    for step in 1..=steps {
        let start = Instant::now();
        let loss = model.call(&images).cross_entropy(&labels);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        println!("step {step}: loss {:.4}, {:.2} s", loss.item::<f32>()?, start.elapsed().as_secs_f64());
    }
    Ok(())
}
