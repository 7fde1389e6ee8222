//! A dataset whose samples pass through a transform.

use std::sync::{Mutex, PoisonError};

use super::{Scratch, Transform};
use crate::data::array::HostArray;
use crate::data::dataset::{Dataset, Field, Sample};
use crate::{Error, Result};

/// A dataset with one field transformed: what [`Dataset::transform`] gives.
pub struct Transformed<D> {
    dataset: D,
    /// Which field.
    field: usize,
    fields: Vec<Field>,
    transform: Box<dyn Transform>,
    /// Memory for samples in progress, one for each thread at most.
    spare: Mutex<Vec<Memory>>,
}

/// The fields of one sample before the transform, and what the transform works with.
struct Memory {
    arrays: Vec<HostArray>,
    scratch: Scratch,
}

impl<D: Dataset> Transformed<D> {
    /// The field called `field` goes through `transform`.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such field, and what [`Transform::output`] says.
    pub fn new(dataset: D, field: &str, transform: impl Transform + 'static) -> Result<Self> {
        let mut fields = dataset.fields().to_vec();
        let Some(at) = fields.iter().position(|f| f.name == field) else {
            let names: Vec<_> = fields.iter().map(|f| &f.name).collect();
            return Err(Error::argument(
                "transform",
                format!("there is no field {field:?}; the dataset has {names:?}"),
            ));
        };
        fields[at] = transform.output(&fields[at])?;
        let spare = Mutex::new(Vec::new());
        Ok(Transformed { dataset, field: at, fields, transform: Box::new(transform), spare })
    }

    /// The dataset underneath.
    pub fn inner(&self) -> &D {
        &self.dataset
    }

    fn memory(&self) -> Memory {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| {
            let arrays = self.dataset.fields().iter().map(|f| HostArray::zeros(&f.shape, f.kind)).collect();
            Memory { arrays, scratch: Scratch::new(0) }
        })
    }
}

impl<D: Dataset> Dataset for Transformed<D> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        let mut memory = self.memory();
        let Memory { arrays, scratch } = &mut memory;
        let fields = self.dataset.fields();
        // The last sample's transform left another shape or kind.
        let f = &fields[self.field];
        if arrays[self.field].kind() == f.kind {
            arrays[self.field].resize(&f.shape);
        } else {
            arrays[self.field] = HostArray::zeros(&f.shape, f.kind);
        }
        let mut before = Sample { fields, arrays, row: 0, key: sample.key };
        before.clear();
        self.dataset.fill(index, &mut before)?;
        scratch.random.reseed(sample.transform_seed());
        self.transform.apply(&mut arrays[self.field], scratch)?;
        let (got, want) = (&arrays[self.field], &self.fields[self.field]);
        if got.shape() != want.shape || got.kind() != want.kind {
            let detail = format!(
                "the transform of {:?} gave {} of shape {:?}, but said {} of shape {:?}; all samples of a batch have \
                 one shape",
                want.name,
                got.kind(),
                got.shape(),
                want.kind,
                want.shape
            );
            return Err(Error::shape("transform", detail));
        }
        arrays.iter().enumerate().for_each(|(field, array)| sample.copy_whole(field, array));
        // A failed sample's memory is not kept: what it holds is unknown.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(())
    }
}
