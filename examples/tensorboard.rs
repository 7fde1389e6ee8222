//! Everything that TensorBoard can show of a training: numbers, pictures, distributions of weights, the model's graph,
//! texts, and a table of hyper-parameters with what came of them.
//!
//!     cargo run --release --features tensorboard --example tensorboard
//!     tensorboard --logdir out/tensorboard

use std::path::PathBuf;

use clap::Parser;
use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::tensorboard::{SummaryWriter, TensorBoardLogger};
use lumigrad::train::{
    Callback, HParams, LearningRateMonitor, LightningModule, Log, Moment, Optimizers, Status, TensorBatch, Trainer,
};
use lumigrad::{nn, optim::Adam, prelude::*};

/// Trains a small network with two learning rates and writes the runs for TensorBoard.
#[derive(Parser)]
struct Args {
    /// Where the runs go.
    #[arg(long, default_value = "out/tensorboard")]
    dir: PathBuf,
    /// Passes over the training images.
    #[arg(long, default_value_t = 3)]
    epochs: u64,
    /// Batches of an epoch.
    #[arg(long, default_value_t = 60)]
    batches: usize,
}

#[derive(Module)]
struct Digits {
    model: nn::Sequential,
    #[module(skip)]
    lr: f64,
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
        log.log("val_accuracy", logits.argmax(Some(1), false).eq(&batch["labels"]).to_dtype(DType::F32).mean());
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Adam::new(self.parameters(), self.lr).into())
    }

    fn hparams(&self) -> HParams {
        HParams::new().set("lr", self.lr).set("hidden", 64).set("optimizer", "Adam").set("shuffle", true)
    }
}

/// Writes the distribution of each parameter after every epoch.
struct Distributions(SummaryWriter);

impl Callback for Distributions {
    fn name(&self) -> String {
        "Distributions".into()
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        if moment == Moment::EpochEnd {
            for (name, parameter) in status.module.named_parameters() {
                self.0.add_histogram(&name.replace('.', "/"), &parameter.get(), status.global_step)?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let device = Device::from_env()?;
    Device::set_default(&device);
    let loader = |split| Ok::<_, Error>(DataLoader::new(Mnist::load("data/mnist-10k", split)?).batch_size(64));
    let data = (loader(Split::Train)?.shuffle(true).seed(0), loader(Split::Test)?);
    for lr in [1e-3, 1e-2] {
        device.manual_seed(0);
        let model = nn::Sequential::new().add(nn::Linear::new(784, 64)).add(nn::ReLU).add(nn::Linear::new(64, 10));
        let module = Digits { model, lr };

        let logger = TensorBoardLogger::new(&args.dir, "digits")?;
        let (dir, writer) = (logger.log_dir(), logger.experiment());
        writer.add_text("notes", &format!("Two layers, learning rate **{lr}**."), 0)?;
        writer.add_graph(&module.model, &Tensor::zeros(&[1, 784]))?;
        let mut trainer = Trainer::new().max_epochs(args.epochs).limit_train_batches(args.batches);
        trainer = trainer.limit_val_batches(10).log_every_n_steps(10).callback(LearningRateMonitor);
        trainer.callback(Distributions(writer.clone())).logger(logger).fit(&module, &data)?;

        let first = data.1.epoch(0).next().expect("the test images make a batch")?;
        let batch = TensorBatch::upload(&first, &device)?;
        writer.add_images("digits", batch["images"].slice(0, 0, 32), 0)?;
        let filters = module.model.state_dict().get("0.weight").expect("the first layer").reshape([64, 1, 28, 28]);
        writer.add_images("filters", (filters * 4.0 + 0.5).clamp(Some(0.0), Some(1.0)), 0)?;
        println!("{}", dir.display());
    }
    Ok(())
}
