//! An MLP on MNIST: the tutorial's program, trained on real digits in compute shaders.
//!
//!     cargo run --release --example mnist
//!     cargo run --release --example mnist -- --device reference --epochs 1
//!
//! Trains 784-512-256-10 with ReLU, cross-entropy and Adam, tests it, and writes the weights and a picture of the
//! training to `--out`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::{io, nn, optim, prelude::*};
use plotters::prelude::*;

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
    /// Widths of the hidden layers.
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
    /// Where the weights and the picture go.
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

/// What one epoch came to.
struct Epoch {
    loss: f64,
    accuracy: f64,
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
    println!("{} parameters", model.num_parameters());

    let mut history = Vec::new();
    for epoch in 1..=args.epochs {
        let start = Instant::now();
        let loss = train_epoch(&model, &mut optimizer, &train, &device, args, epoch)?;
        let seconds = start.elapsed().as_secs_f64();
        let accuracy = accuracy(&model, &test, &device)?;
        println!("epoch {epoch}: loss {loss:.4}, test accuracy {accuracy:.2}%, {seconds:.1} s");
        history.push(Epoch { loss, accuracy });
    }

    io::save_safetensors(&model.state_dict(), args.out.join("mnist.safetensors"))?;
    if !history.is_empty() {
        draw(&history, &args.out.join("training.svg"))?;
    }
    let last = match history.last() {
        Some(epoch) => epoch.accuracy,
        None => accuracy(&model, &test, &device)?,
    };
    println!("weights and picture are in {}", args.out.display());
    println!("test accuracy: {last:.2}%");
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

/// The share of test images whose digit the model names, in percent.
fn accuracy(model: &Mlp, loader: &DataLoader, device: &Device) -> Result<f64> {
    model.eval();
    let correct = no_grad(|| -> Result<f64> {
        let mut correct = Tensor::full_on(&[], 0.0, DType::I32, device);
        for batch in loader.epoch(0) {
            let batch = batch?;
            let (images, labels) = (batch["images"].to_tensor(device)?, batch["labels"].to_tensor(device)?);
            correct += model.call(&images).argmax(Some(1), false).eq(&labels).sum();
        }
        correct.item()
    })?;
    model.train();
    Ok(100.0 * correct / loader.dataset().len() as f64)
}

fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    // Found out now, and not after the training.
    let probe = folder.join(".writable");
    std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).map_err(|e| Error::file(folder, e))
}

/// Loss and accuracy over the epochs, side by side.
fn draw(history: &[Epoch], path: &Path) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::format(path, format!("can't be drawn: {e}"));
    let root = SVGBackend::new(path, (900, 360)).into_drawing_area();
    let panels = {
        root.fill(&WHITE).map_err(|e| failed(&e))?;
        root.split_evenly((1, 2))
    };
    let loss: Vec<f64> = history.iter().map(|e| e.loss).collect();
    let accuracy: Vec<f64> = history.iter().map(|e| e.accuracy).collect();
    let highest = loss.iter().copied().fold(0.0, f64::max).max(1e-6);
    let lowest = accuracy.iter().copied().fold(100.0, f64::min);
    curve(&panels[0], "training loss", &loss, 0.0..highest * 1.1, &BLUE).map_err(|e| failed(&e))?;
    curve(&panels[1], "test accuracy, %", &accuracy, (lowest - 1.0).max(0.0)..100.0, &RED).map_err(|e| failed(&e))?;
    root.present().map_err(|e| failed(&e))
}

fn curve(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    values: &[f64],
    range: std::ops::Range<f64>,
    color: &RGBColor,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let epochs = 1.0..values.len().max(2) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d(epochs, range)?;
    let whole = |epoch: &f64| format!("{epoch:.0}");
    let labels = values.len().clamp(2, 10);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("epoch").x_labels(labels).x_label_formatter(&whole).light_line_style(WHITE).draw()?;
    let points: Vec<(f64, f64)> = (1..).map(f64::from).zip(values.iter().copied()).collect();
    chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&p| Circle::new(p, 3, color.filled())))?;
    Ok(())
}
