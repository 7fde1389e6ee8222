//! A batch, and the pool its memory comes from and goes back to.

use super::array::HostArray;
use super::dataset::Field;
use std::fmt;
use std::ops::Index;
use std::sync::{Arc, Mutex, PoisonError};

/// Samples side by side: one array a field, each `[samples, ...]`.
///
/// When a batch is dropped, its memory goes back to the [`DataLoader`](super::DataLoader) for the next one. So let go of
/// it once its arrays have been used.
///
/// ```
/// use lumigrad::data::{ArrayDataset, DataLoader, HostArray};
///
/// let data = ArrayDataset::new([("x", HostArray::zeros(&[10, 3], lumigrad::data::Kind::F32))]);
/// let batch = DataLoader::new(data).batch_size(4).epoch(0).next().unwrap()?;
/// assert_eq!(batch.len(), 4);
/// assert_eq!(batch["x"].shape(), [4, 3]);
/// assert!(batch.get("y").is_none());
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub struct Batch {
    memory: Memory,
    pool: Arc<Pool>,
}

/// What is used again: the arrays, and the list of samples in them.
#[derive(Default)]
struct Memory {
    arrays: Vec<HostArray>,
    indices: Vec<usize>,
}

impl Batch {
    /// How many samples: the loader's batch size, or fewer in the last batch of an epoch.
    pub fn len(&self) -> usize {
        self.memory.indices.len()
    }

    /// Whether there is no sample; a loader makes no such batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array of a field, `[samples, ...]`; nothing when the dataset has no field of that name.
    pub fn get(&self, name: &str) -> Option<&HostArray> {
        let field = self.pool.fields.iter().position(|f| f.name == name)?;
        Some(&self.memory.arrays[field])
    }

    /// All arrays, in the order of [`Batch::fields`].
    pub fn arrays(&self) -> &[HostArray] {
        &self.memory.arrays
    }

    /// What each array is, with the shape of one sample.
    pub fn fields(&self) -> &[Field] {
        &self.pool.fields
    }

    /// Which samples of the dataset these are, row by row.
    pub fn indices(&self) -> &[usize] {
        &self.memory.indices
    }

    pub(super) fn arrays_mut(&mut self) -> &mut [HostArray] {
        &mut self.memory.arrays
    }
}

/// `batch["images"]`, which panics when there is no such field.
impl Index<&str> for Batch {
    type Output = HostArray;

    #[track_caller]
    fn index(&self, name: &str) -> &HostArray {
        let Some(array) = self.get(name) else {
            let names: Vec<_> = self.pool.fields.iter().map(|f| &f.name).collect();
            panic!("Batch: there is no field {name:?}; the dataset has {names:?}")
        };
        array
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).field("fields", &self.pool.fields).finish_non_exhaustive()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.memory));
    }
}

/// Memory of dropped batches, for the batches to come.
pub(super) struct Pool {
    fields: Arc<[Field]>,
    free: Mutex<Vec<Memory>>,
    /// How many are kept. More come back only when a caller has gathered many batches, and those should not stay in
    /// memory for good.
    keep: usize,
}

impl Pool {
    pub(super) fn new(fields: Arc<[Field]>, keep: usize) -> Arc<Self> {
        Arc::new(Pool { fields, free: Mutex::new(Vec::with_capacity(keep)), keep })
    }

    pub(super) fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    /// A batch for these samples. Its content is left over from another; `full` is the number of rows of the largest
    /// batch, which new memory is made for, so that it never has to grow.
    pub(super) fn take(self: &Arc<Self>, indices: &[usize], full: usize) -> Batch {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = free.unwrap_or_default();
        if memory.arrays.is_empty() {
            memory.indices.reserve(full);
            memory
                .arrays
                .extend(self.fields.iter().map(|f| HostArray::zeros(&[&[full][..], &f.shape].concat(), f.kind)));
        }
        memory.indices.clear();
        memory.indices.extend_from_slice(indices);
        memory.arrays.iter_mut().for_each(|array| array.resize_rows(indices.len()));
        Batch { memory, pool: self.clone() }
    }

    fn give(&self, memory: Memory) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.keep {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Kind;

    fn pool(keep: usize) -> Arc<Pool> {
        Pool::new(Arc::new([Field::new("x", &[3], Kind::F32), Field::new("y", &[], Kind::I32)]), keep)
    }

    #[test]
    fn memory_comes_back_and_never_grows() {
        let pool = pool(2);
        let small = pool.take(&[5], 4);
        assert_eq!((small["x"].shape(), small["y"].shape(), small.indices()), (&[1, 3][..], &[1][..], &[5][..]));
        let place = small["x"].as_bytes().as_ptr();
        drop(small);
        let large = pool.take(&[1, 2, 3, 4], 4);
        assert_eq!(large["x"].as_bytes().as_ptr(), place);
    }

    #[test]
    fn only_so_many_are_kept() {
        let pool = pool(2);
        drop([0, 1, 2, 3].map(|i| pool.take(&[i], 1)));
        assert_eq!(pool.free.lock().unwrap().len(), 2);
    }

    #[test]
    #[should_panic(expected = r#"no field "z"; the dataset has ["x", "y"]"#)]
    fn a_wrong_name_panics_with_the_right_ones() {
        let _ = &pool(1).take(&[0], 1)["z"];
    }
}
