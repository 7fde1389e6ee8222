//! The loop around a training step, in Lightning's shape: the user's module says what a step is, the [`Trainer`] runs it.
//!
//! ```
//! use lumigrad::data::{DataLoader, synthetic};
//! use lumigrad::train::{LightningModule, Log, Optimizers, TensorBatch, Trainer};
//! use lumigrad::{nn, optim::Adam, prelude::*};
//!
//! #[derive(Module)]
//! struct LitModel {
//!     model: nn::Sequential,
//! }
//!
//! impl LightningModule for LitModel {
//!     fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
//!         let loss = self.model.call(&batch["x"]).cross_entropy(&batch["y"]);
//!         log.log("train_loss", &loss);
//!         Ok(loss)
//!     }
//!     fn configure_optimizers(&self) -> Result<Optimizers> {
//!         Ok(Adam::new(self.parameters(), 1e-2).into())
//!     }
//! }
//!
//! let layers = nn::Sequential::new().add(nn::Linear::new(2, 16)).add(nn::ReLU).add(nn::Linear::new(16, 2));
//! let moons = DataLoader::new(synthetic::moons(128, 0.1, 0)).batch_size(32).shuffle(true);
//! let mut trainer = Trainer::new().max_epochs(2).progress(false);
//! trainer.fit(&LitModel { model: layers }, &moons)?;
//! assert_eq!(trainer.global_step(), 8);
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! Nothing waits for the device in a step: logged values are gathered there, and read when they have arrived.

mod callback;
mod captured;
mod checkpoint;
mod data;
mod early_stopping;
mod evaluate;
mod gather;
mod hparams;
mod logger;
mod model_checkpoint;
mod module;
mod optimizers;
mod precision;
mod progress;
mod run;
mod throughput;
mod trainer;

pub use callback::{Callback, LearningRateMonitor, Mode, Moment, Status};
pub use checkpoint::Checkpoint;
pub use data::{DataModule, Stage, TensorBatch};
pub use early_stopping::EarlyStopping;
pub use gather::{Log, LogOptions, LogValue};
pub use hparams::{HParam, HParams};
pub use logger::{CsvLogger, JsonLinesLogger, Logger};
pub use model_checkpoint::ModelCheckpoint;
pub use module::LightningModule;
pub use optimizers::{Interval, Optimizers};
pub use precision::FloatPrecision;
pub use progress::{ProgressWriter, suspend_progress};
pub use throughput::ThroughputMonitor;
pub use trainer::{Clip, Limit, Trainer};
