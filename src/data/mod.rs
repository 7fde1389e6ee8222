//! Datasets and batches.
//!
//! A [`Dataset`] writes samples into host memory, a [`Sampler`] says in which order, and a [`DataLoader`] makes batches
//! of them ahead of the training, in memory that is used again and again. Everything here is on the host, until a
//! [`Batch`] is uploaded: [`Batch::to_tensors`].
//!
//! ```
//! use lumigrad::data::{ArrayDataset, DataLoader, HostArray};
//!
//! // y = 2 x, a hundred times
//! let x: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
//! let y: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
//! let data = ArrayDataset::new([("x", HostArray::new(&[100, 1], x)), ("y", HostArray::new(&[100, 1], y))]);
//!
//! let loader = DataLoader::new(data).batch_size(32).shuffle(true).seed(7);
//! for _epoch in 0..3 {
//!     for batch in &loader {
//!         let batch = batch?; // a sample that can't be loaded is an error here, not a crash
//!         let (x, y) = (batch["x"].as_slice::<f32>().unwrap(), batch["y"].as_slice::<f32>().unwrap());
//!         assert!(x.iter().zip(y).all(|(x, y)| *y == 2.0 * x));
//!     }
//! }
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! All randomness is a function of the seed, the epoch and the sample. So a run can be repeated, or taken up in the
//! middle of an epoch ([`DataLoader::epoch_from`]), and loading ahead changes nothing but the speed.

mod array;
mod batch;
mod cifar;
mod combine;
mod dataset;
#[cfg(feature = "download")]
pub mod download;
#[cfg(feature = "image")]
mod folder;
pub mod idx;
mod loader;
mod mnist;
mod sampler;
pub mod synthetic;
mod table;
pub mod transforms;
mod upload;

pub use array::{HostArray, HostData, HostElement, Kind};
pub use batch::Batch;
pub use cifar::Cifar;
pub use combine::{ConcatDataset, Subset, random_split, random_split_by};
pub use dataset::{ArrayDataset, Dataset, Field, Sample};
#[cfg(feature = "image")]
pub use folder::ImageFolder;
pub use loader::{DataLoader, Epoch};
pub use mnist::{Mnist, Split};
pub use sampler::{Random, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler};
pub use table::CsvTable;
