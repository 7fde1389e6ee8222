//! Event files that [TensorBoard](https://www.tensorflow.org/tensorboard) opens: numbers, pictures, distributions, texts, a
//! model's graph, hyper-parameters. Of the feature `tensorboard`.
//!
//! ```sh
//! pip install tensorboard
//! tensorboard --logdir runs
//! ```

mod graph;
mod histogram;
mod hparams;
mod logger;
mod picture;
mod proto;
mod record;
mod writer;

pub use logger::TensorBoardLogger;
pub use picture::Picture;
pub use writer::SummaryWriter;
