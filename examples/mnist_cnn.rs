//! A CNN on MNIST: the tutorials' two convolutions with Adadelta, trained on real digits in compute shaders.
//!
//!     cargo run --release --example mnist_cnn
//!     cargo run --release --example mnist_cnn -- --epochs 1 --max-steps 50

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::{nn, optim::Adadelta, prelude::*};

/// Trains a convolutional network on MNIST.
#[derive(Parser)]
struct Args {
    /// Passes over the training images.
    #[arg(long, default_value_t = 3)]
    epochs: usize,
    /// Images of a step.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Learning rate of Adadelta.
    #[arg(long, default_value_t = 0.5)]
    lr: f64,
    /// Seed of the weights, of dropout and of the order of the images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// `reference`, `gpu`, `shadow` or a part of an adapter's name; without it the best GPU.
    #[arg(long)]
    device: Option<String>,
    /// A folder with the four IDX files of MNIST or a data set like it, plain or gzipped.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k"))]
    data: PathBuf,
    /// Steps of an epoch at most, for a quick look.
    #[arg(long)]
    max_steps: Option<usize>,
}

#[derive(Module)]
struct Cnn {
    conv1: nn::Conv2d,
    conv2: nn::Conv2d,
    pool: nn::MaxPool2d,
    dropout1: nn::Dropout,
    fc1: nn::Linear,
    dropout2: nn::Dropout,
    fc2: nn::Linear,
}

impl Cnn {
    fn new() -> Cnn {
        Cnn {
            conv1: nn::Conv2d::new(1, 16, 3),
            conv2: nn::Conv2d::new(16, 32, 3),
            pool: nn::MaxPool2d::new(2),
            dropout1: nn::Dropout::new(0.10),
            fc1: nn::Linear::new(4608, 64),
            dropout2: nn::Dropout::new(0.25),
            fc2: nn::Linear::new(64, 10),
        }
    }
}

impl Forward for Cnn {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv1.call(x).relu();
        let x = self.conv2.call(&x).relu();
        let x = self.dropout1.call(&self.pool.call(&x)).flatten(1, -1);
        let x = self.dropout2.call(&self.fc1.call(&x).relu());
        self.fc2.call(&x).log_softmax(1)
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let device = match &args.device {
        Some(name) => Device::named(name)?,
        None => Device::from_env()?,
    };
    Device::set_default(&device);
    device.manual_seed(args.seed);
    let batch = args.batch as usize;
    let train = DataLoader::new(Mnist::load(&args.data, Split::Train)?).batch_size(batch).shuffle(true).seed(args.seed);
    let test = DataLoader::new(Mnist::load(&args.data, Split::Test)?).batch_size(250);
    let model = Cnn::new();
    println!("{} parameters, on {device}", model.num_parameters());

    let mut optimizer = Adadelta::new(model.parameters(), args.lr);
    for epoch in 1..=args.epochs {
        let start = Instant::now();
        // Added up on the device: nothing is read before the end of the epoch.
        let mut total = Tensor::scalar(0.0);
        let mut steps = 0;
        model.train();
        for batch in (&train).into_iter().take(args.max_steps.unwrap_or(usize::MAX)) {
            let batch = batch?;
            let (images, labels) = (batch["images"].to_tensor(&device)?, batch["labels"].to_tensor(&device)?);
            let loss = model.call(&images).nll_loss(&labels);
            optimizer.zero_grad();
            loss.backward()?;
            optimizer.step()?;
            total += loss.detach();
            steps += 1;
        }
        let loss = total.item::<f64>()? / f64::from(steps);
        println!("epoch {epoch}: loss {loss:.4}, {:.1} s", start.elapsed().as_secs_f64());
    }

    model.eval();
    let mut correct = 0;
    let mut images_seen = 0;
    for batch in &test {
        let batch = batch?;
        let (images, labels) = (batch["images"].to_tensor(&device)?, batch["labels"].to_tensor(&device)?);
        let predicted = no_grad(|| model.call(&images)).argmax(Some(1), false);
        correct += predicted.eq(&labels).sum().item::<i64>()?;
        images_seen += batch.len();
    }
    println!("test accuracy: {:.2}%", 100.0 * correct as f64 / images_seen as f64);
    Ok(())
}
