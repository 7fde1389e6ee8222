//! A training that can be killed at any moment and goes on where it was, with the same bits.
//!
//!     cargo run --release --example checkpoint -- --dir out/checkpoint
//!
//! Run it, stop it (Ctrl-C, or kill it), run it again: it goes on from the last checkpoint that is whole. A run that was
//! never stopped ends with the same weights, whose fingerprint is the last line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::optim::{
    Adam,
    lr_scheduler::{Schedule, StepLR},
};
use lumigrad::train::{
    Checkpoint, CsvLogger, EarlyStopping, Interval, JsonLinesLogger, LearningRateMonitor, LightningModule, Log, Mode,
    ModelCheckpoint, Optimizers, ProgressWriter, TensorBatch, Trainer,
};
use lumigrad::{nn, prelude::*};

/// Trains a small network with dropout on the bundled digits, with checkpoints.
#[derive(Parser)]
struct Args {
    /// Where checkpoints and the log go.
    #[arg(long, default_value = "out/checkpoint")]
    dir: PathBuf,
    /// Passes over the training images.
    #[arg(long, default_value_t = 3)]
    epochs: u64,
    /// Batches of an epoch.
    #[arg(long, default_value_t = 80)]
    batches: usize,
    /// Updates between two checkpoints.
    #[arg(long, default_value_t = 20)]
    every: u64,
}

#[derive(Module)]
struct Digits {
    model: nn::Sequential,
}

impl LightningModule for Digits {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let loss = self.model.call(&batch["images"].flatten(1, -1)).cross_entropy(&batch["labels"]);
        log.log("train_loss", &loss);
        Ok(loss)
    }

    fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        let logits = self.model.call(&batch["images"].flatten(1, -1));
        log.log("val_loss", logits.cross_entropy(&batch["labels"]));
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let mut optimizer = Adam::new(self.parameters(), 1e-3);
        let schedule = StepLR::new(1).gamma(0.7).on(&mut optimizer);
        Ok(Optimizers::new(optimizer).schedule(schedule, Interval::Epoch))
    }
}

fn main() -> ExitCode {
    // What is logged stands above the progress bar.
    let terminal = env_logger::Target::Pipe(Box::new(ProgressWriter));
    let level = env_logger::Env::default().default_filter_or("lumigrad=warn");
    env_logger::Builder::from_env(level).target(terminal).init();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let device = Device::from_env()?;
    Device::set_default(&device);
    device.manual_seed(0);
    let model = nn::Sequential::new()
        .add(nn::Linear::new(784, 64))
        .add(nn::BatchNorm1d::new(64))
        .add(nn::ReLU)
        .add(nn::Dropout::new(0.2))
        .add(nn::Linear::new(64, 10));
    let module = Digits { model };
    let loader = |split| Ok::<_, Error>(DataLoader::new(Mnist::load("data/mnist-10k", split)?).batch_size(64));
    let data = (loader(Split::Train)?.shuffle(true).seed(0), loader(Split::Test)?);

    let checkpoints = ModelCheckpoint::new(&args.dir).monitor("val_loss", Mode::Min, 2).every_n_train_steps(args.every);
    let mut trainer = Trainer::new()
        .max_epochs(args.epochs)
        .limit_train_batches(args.batches)
        .limit_val_batches(5)
        .log_every_n_steps(10)
        .callback(EarlyStopping::new("val_loss").patience(5))
        .callback(LearningRateMonitor)
        .callback(checkpoints);
    trainer = trainer.logger(CsvLogger::new(args.dir.join("log.csv"))?);
    let (newest, log) = (Checkpoint::latest(&args.dir)?, args.dir.join("log.jsonl"));
    if newest.is_none() && log.exists() {
        // Of a run that ended before its first checkpoint: this one begins anew, and so does its log.
        std::fs::remove_file(&log).map_err(|e| Error::file(&log, e))?;
    }
    trainer = trainer.logger(JsonLinesLogger::new(log)?);
    if let Some(path) = newest {
        let found = Checkpoint::load(&path, &device)?;
        println!("going on after step {} of epoch {}", found.global_step(), found.epoch() + 1);
        trainer = trainer.resume(path);
    }
    ctrlc::set_handler(trainer.interrupt_handler()).expect("no other handler of Ctrl-C");
    trainer.fit(&module, &data)?;
    if trainer.was_interrupted() {
        println!("stopped after step {}; the same command goes on", trainer.global_step());
        return Ok(());
    }
    println!("weights {:016x} after {} steps", fingerprint(&module)?, trainer.global_step());
    Ok(())
}

/// The FNV-1a hash of every bit of the module's state.
fn fingerprint(module: &impl Module) -> Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (_, tensor) in module.state_dict().iter() {
        for value in tensor.to_vec::<f32>()? {
            for byte in value.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    Ok(hash)
}
