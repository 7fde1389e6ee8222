//! The Lightning program of the PyTorch tutorials: an MLP on MNIST, trained by a `Trainer`.
//!
//!     cargo run --release --example lightning

use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::metrics::{Accuracy, Metric};
use lumigrad::train::{CsvLogger, DataModule, LightningModule, Log, Optimizers, TensorBatch, Trainer};
use lumigrad::{nn, optim::Adam, prelude::*};

#[derive(Module)]
struct LitModel {
    model: nn::Sequential,
    criterion: nn::CrossEntropyLoss,
    val_accuracy: Accuracy,
}

impl LightningModule for LitModel {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let loss = self.criterion.loss(&self.model.call(&batch["images"].flatten(1, -1)), &batch["labels"]);
        log.log("train_loss", &loss);
        Ok(loss)
    }

    fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        self.val_accuracy.update(&self.model.call(&batch["images"].flatten(1, -1)), &batch["labels"])?;
        log.log("val_accuracy", &self.val_accuracy);
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Adam::new(self.parameters(), 1e-3).into())
    }
}

struct MnistData;

impl DataModule for MnistData {
    fn train_dataloader(&self) -> Result<DataLoader> {
        Ok(DataLoader::new(Mnist::load("data/mnist-10k", Split::Train)?).batch_size(100).shuffle(true))
    }

    fn val_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(Some(DataLoader::new(Mnist::load("data/mnist-10k", Split::Test)?).batch_size(100)))
    }
}

fn main() -> Result<()> {
    let model = nn::Sequential::new().add(nn::Linear::new(784, 500)).add(nn::ReLU).add(nn::Linear::new(500, 10));
    let lit = LitModel { model, criterion: nn::CrossEntropyLoss::new(), val_accuracy: Accuracy::new(10) };
    Trainer::new().max_epochs(5).logger(CsvLogger::new("out/lightning/metrics.csv")?).fit(&lit, &MnistData)
}
