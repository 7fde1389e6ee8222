//! Where a trainer's batches come from, and what they are on the device.

use std::ops::Index;

use crate::data::{Batch, DataLoader, Field};
use crate::tensor::Tensor;
use crate::{Device, Error, Result};

/// What the loaders are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Training, and validation during it.
    Fit,
    /// Validation alone.
    Validate,
    /// The test.
    Test,
    /// Prediction.
    Predict,
}

/// The data of a task, as Lightning's `LightningDataModule`. A [`DataLoader`] is one, for training only; a pair of them
/// has a validation too, and three of them a test.
pub trait DataModule {
    /// Fetches files. Called first.
    ///
    /// # Errors
    /// Whatever keeps the data from being had.
    fn prepare_data(&self) -> Result<()> {
        Ok(())
    }

    /// The batches to train on.
    ///
    /// # Errors
    /// Whatever keeps them from being loaded.
    fn train_dataloader(&self) -> Result<DataLoader>;

    /// The batches to validate on, if there are some.
    ///
    /// # Errors
    /// Whatever keeps them from being loaded.
    fn val_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(None)
    }

    /// The batches to test on.
    ///
    /// # Errors
    /// Whatever keeps them from being loaded.
    fn test_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(None)
    }

    /// The batches to predict for; those of the test unless said otherwise.
    ///
    /// # Errors
    /// Whatever keeps them from being loaded.
    fn predict_dataloader(&self) -> Result<Option<DataLoader>> {
        self.test_dataloader()
    }
}

impl DataModule for DataLoader {
    fn train_dataloader(&self) -> Result<DataLoader> {
        Ok(self.clone())
    }

    fn val_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(None)
    }

    fn test_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(Some(self.clone()))
    }
}

/// Training and validation.
impl DataModule for (DataLoader, DataLoader) {
    fn train_dataloader(&self) -> Result<DataLoader> {
        Ok(self.0.clone())
    }

    fn val_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(Some(self.1.clone()))
    }
}

/// Training, validation and test.
impl DataModule for (DataLoader, DataLoader, DataLoader) {
    fn train_dataloader(&self) -> Result<DataLoader> {
        Ok(self.0.clone())
    }

    fn val_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(Some(self.1.clone()))
    }

    fn test_dataloader(&self) -> Result<Option<DataLoader>> {
        Ok(Some(self.2.clone()))
    }
}

/// A batch on the device: a tensor a field.
#[derive(Clone, Debug)]
pub struct TensorBatch {
    fields: Vec<Field>,
    tensors: Vec<Tensor>,
    indices: Vec<usize>,
}

impl TensorBatch {
    /// Uploads a batch; bytes become floats from 0 to 1.
    ///
    /// # Errors
    /// When the device has no memory for it, or is lost.
    pub fn upload(batch: &Batch, device: &Device) -> Result<Self> {
        let (fields, indices) = (batch.fields().to_vec(), batch.indices().to_vec());
        Ok(TensorBatch { fields, tensors: batch.to_tensors(device)?, indices })
    }

    /// The same batch with its tensors in other memory.
    pub(super) fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        TensorBatch { fields: self.fields.clone(), tensors, indices: self.indices.clone() }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The tensor of a field, `[samples, …]`; nothing when there is no such field.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.fields.iter().position(|f| f.name == name).map(|i| &self.tensors[i])
    }

    /// All tensors, in the order of the dataset's fields.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The first two fields, which in most datasets are input and target.
    ///
    /// # Errors
    /// When the dataset has fewer.
    pub fn pair(&self) -> Result<(&Tensor, &Tensor)> {
        match &self.tensors[..] {
            [input, target, ..] => Ok((input, target)),
            few => Err(Error::argument("pair", format!("the dataset has {} fields, expected two or more", few.len()))),
        }
    }

    /// Which samples of the dataset these are.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

/// `batch["images"]`, which panics when there is no such field.
impl Index<&str> for TensorBatch {
    type Output = Tensor;

    #[track_caller]
    fn index(&self, name: &str) -> &Tensor {
        let Some(tensor) = self.get(name) else {
            let names: Vec<_> = self.fields.iter().map(|f| &f.name).collect();
            panic!("TensorBatch: there is no field {name:?}; the dataset has {names:?}")
        };
        tensor
    }
}
