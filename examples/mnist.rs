//! An MLP on MNIST: the tutorial's program, trained on real digits in compute shaders.
//!
//!     cargo run --release --example mnist
//!     cargo run --release --example mnist -- --device reference --epochs 1
//!
//!     cargo run --release --example mnist -- --hidden 500
//!
//! Trains 784-512-256-10 with ReLU, cross-entropy and Adam, tests it, and writes the weights and pictures of the training,
//! of the confusion matrix and of the misclassified images to `--out`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::metrics::{Confusion, ConfusionMatrix, Metric};
use lumigrad::plot::{self, Chart};
use lumigrad::{io, nn, optim, prelude::*};

/// Trains a multi-layer perceptron on MNIST.
#[derive(Parser)]
struct Args {
    /// Passes over the training images.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Images of a step.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Learning rate of Adam.
    #[arg(long, default_value_t = 0.001, value_parser = learning_rate)]
    lr: f64,
    /// Widths of the hidden layers: `500` for one, `512,256` for two.
    #[arg(long, default_value = "512,256", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    hidden: Vec<u32>,
    /// Seed of the weights and of the order of the images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// `reference`, `gpu`, `shadow` or a part of an adapter's name; without it the best GPU.
    #[arg(long)]
    device: Option<String>,
    /// A folder with the four IDX files of MNIST or a data set like it, plain or gzipped.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k"))]
    data: PathBuf,
    /// Where the weights and the pictures go.
    #[arg(long, default_value = "out/mnist")]
    out: PathBuf,
    /// Steps of an epoch at most, for a quick look.
    #[arg(long)]
    max_steps: Option<usize>,
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(lr) if lr >= 0.0 && lr.is_finite() => Ok(lr),
        _ => Err("must be a number that is not negative".into()),
    }
}

#[derive(Module)]
struct Mlp {
    flatten: nn::Flatten,
    linear_relu_stack: nn::Sequential,
}

impl Mlp {
    fn new(pixels: usize, hidden: &[u32], classes: usize) -> Mlp {
        let mut stack = nn::Sequential::new();
        let mut width = pixels;
        for &next in hidden {
            stack = stack.add(nn::Linear::new(width, next as usize)).add(nn::ReLU);
            width = next as usize;
        }
        Mlp { flatten: nn::Flatten::new(), linear_relu_stack: stack.add(nn::Linear::new(width, classes)) }
    }
}

impl Forward for Mlp {
    type Output = Tensor;

    fn forward(&self, images: &Tensor) -> Tensor {
        self.linear_relu_stack.call(&self.flatten.call(images))
    }
}

/// The mean loss and the test accuracy of each epoch.
#[derive(Default)]
struct History {
    loss: Vec<f64>,
    accuracy: Vec<f64>,
}

fn main() -> ExitCode {
    env_logger::init();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    // What can go wrong goes wrong before the work: the data, the folder, the device.
    let train = Mnist::load(&args.data, Split::Train)?;
    let test = Mnist::load(&args.data, Split::Test)?;
    create_folder(&args.out)?;
    let device = args.device.as_deref().map_or_else(Device::from_env, Device::named)?;
    println!("{} training and {} test images, on {device}", train.labels().len(), test.labels().len());
    device.manual_seed(args.seed);
    Device::set_default(&device);

    let pixels: usize = train.images().shape()[1..].iter().product();
    // Steps are recorded in bursts, ahead of the device; so are batches.
    let train = DataLoader::new(train).batch_size(args.batch as usize).shuffle(true).seed(args.seed).prefetch(8);
    let test = DataLoader::new(test).batch_size(500);
    let model = Mlp::new(pixels, &args.hidden, 10);
    let mut optimizer = optim::Adam::new(model.parameters(), args.lr);
    println!("{}\n", nn::summary(&model, &Tensor::zeros(&[1, pixels])));

    let mut history = History::default();
    let mut confusion = None;
    for epoch in 1..=args.epochs {
        let start = Instant::now();
        let loss = train_epoch(&model, &mut optimizer, &train, &device, args, epoch)?;
        let seconds = start.elapsed().as_secs_f64();
        let tested = evaluate(&model, &test, &device)?;
        let accuracy = 100.0 * tested.accuracy();
        println!("epoch {epoch}: loss {loss:.4}, test accuracy {accuracy:.2}%, {seconds:.1} s");
        history.loss.push(loss);
        history.accuracy.push(accuracy);
        confusion = Some(tested);
    }
    let confusion = match confusion {
        Some(confusion) => confusion,
        None => evaluate(&model, &test, &device)?,
    };

    io::save_safetensors(&model.state_dict(), args.out.join("mnist.safetensors"))?;
    draw(&history, &args.out)?;
    plot::confusion_matrix(&confusion, &[], args.out.join("confusion.svg"))?;
    draw_mistakes(&model, &test, &device, &args.out.join("misclassified.svg"))?;
    println!("weights and pictures are in {}", args.out.display());
    println!("lowest recall: {}; lowest precision: {}", lowest(&confusion.recall()), lowest(&confusion.precision()));
    println!("test accuracy: {:.2}%", 100.0 * confusion.accuracy());
    Ok(())
}

fn train_epoch(
    model: &Mlp,
    optimizer: &mut optim::Adam,
    loader: &DataLoader,
    device: &Device,
    args: &Args,
    epoch: usize,
) -> Result<f64> {
    let steps = loader.len().min(args.max_steps.unwrap_or(usize::MAX));
    let bar = progress_bar(steps, epoch, args);
    let start = Instant::now();
    let (mut running, mut images_seen) = (Tensor::scalar(0.0), 0);
    for (step, batch) in loader.epoch(epoch as u64).take(steps).enumerate() {
        let batch = batch?;
        let (images, labels) = (batch["images"].to_tensor(device)?, batch["labels"].to_tensor(device)?);
        let loss = model.call(&images).cross_entropy(&labels);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;

        // The sum stays on the device; reading it waits for the step, so the bar does that now and then.
        running += loss.detach();
        images_seen += batch.len();
        if (step + 1) % 25 == 0 && !bar.is_hidden() {
            let mean = running.item::<f64>()? / (step + 1) as f64;
            let rate = images_seen as f64 / start.elapsed().as_secs_f64();
            bar.set_message(format!("loss {mean:.4}, {rate:.0} images/s"));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mean = running.item::<f64>()? / steps as f64;
    if mean.is_finite() {
        return Ok(mean);
    }
    let advice = "the training does not converge; try a smaller --lr";
    Err(Error::Argument { op: "mnist", detail: format!("the loss of epoch {epoch} is {mean}: {advice}") })
}

fn progress_bar(steps: usize, epoch: usize, args: &Args) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}").expect("the template is valid");
    let bar = ProgressBar::new(steps as u64).with_style(style.progress_chars("━╸─"));
    bar.with_prefix(format!("epoch {epoch}/{}", args.epochs))
}

/// How often the model takes each digit of the test images for each.
fn evaluate(model: &Mlp, loader: &DataLoader, device: &Device) -> Result<Confusion> {
    let confusion = ConfusionMatrix::new(10);
    model.eval();
    no_grad(|| -> Result<()> {
        for batch in loader.epoch(0) {
            let batch = batch?;
            let (images, labels) = (batch["images"].to_tensor(device)?, batch["labels"].to_tensor(device)?);
            confusion.update(&model.call(&images), &labels)?;
        }
        Ok(())
    })?;
    model.train();
    confusion.compute()
}

/// The three classes with the lowest values.
fn lowest(values: &[f64]) -> String {
    let mut classes: Vec<usize> = (0..values.len()).collect();
    classes.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let worst = classes.iter().take(3).map(|&class| format!("{class} ({:.1}%)", 100.0 * values[class]));
    worst.collect::<Vec<_>>().join(", ")
}

fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    // Found out now, and not after the training.
    let probe = folder.join(".writable");
    std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).map_err(|e| Error::file(folder, e))
}

/// Loss and accuracy over the epochs, side by side.
fn draw(history: &History, out: &Path) -> Result<()> {
    if history.loss.is_empty() {
        return Ok(());
    }
    let loss = Chart::new("loss").x_label("epoch").values("training loss", &history.loss);
    let accuracy = Chart::new("accuracy, %").x_label("epoch").values("test accuracy", &history.accuracy);
    plot::curves(&[loss, accuracy], out.join("training.svg"))
}

/// The test images that the model takes for another digit.
fn draw_mistakes(model: &Mlp, loader: &DataLoader, device: &Device, path: &Path) -> Result<()> {
    let (mut images, mut truth, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    model.eval();
    for batch in loader.epoch(0) {
        let batch = batch?;
        let pictures = batch["images"].to_tensor(device)?;
        let classes = no_grad(|| model.call(&pictures).argmax(Some(1), false));
        predicted.extend(classes.to_vec::<i32>()?.into_iter().map(|class| class as usize));
        let labels = batch["labels"].as_slice::<i32>().expect("the labels of MNIST are i32");
        truth.extend(labels.iter().map(|class| *class as usize));
        images.push(pictures);
    }
    model.train();
    let images = Tensor::try_cat(&images.iter().collect::<Vec<_>>(), 0)?;
    plot::misclassified(&images, &truth, &predicted, &[], path)
}
