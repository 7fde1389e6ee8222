//! What a dataset is, and one that lives in memory.
//!
//! A dataset writes each sample straight into its place in the batch: collation is that write, and no sample is ever an
//! allocation of its own.

use super::array::{HostArray, HostData, HostElement, Kind, elements};
use super::sampler;
use super::transforms::{Transform, Transformed};
use crate::{Error, Result};

/// One named part of every sample: its name, its shape without the batch dim, and its element kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// How the part is asked for: `batch.get("images")`.
    pub name: String,
    /// The shape in one sample; `[]` for a single number, such as a label.
    pub shape: Vec<usize>,
    /// The element kind.
    pub kind: Kind,
}

impl Field {
    /// A field; `shape` is that of one sample.
    ///
    /// ```
    /// use lumigrad::data::{Field, Kind};
    /// let images = Field::new("images", &[1, 28, 28], Kind::U8);
    /// assert_eq!(images.name, "images");
    /// ```
    pub fn new(name: impl Into<String>, shape: &[usize], kind: Kind) -> Self {
        Field { name: name.into(), shape: shape.to_vec(), kind }
    }
}

/// A collection of samples that can be asked for by position, as `torch.utils.data.Dataset`.
///
/// ```
/// use lumigrad::data::{Dataset, Field, Kind, Sample};
///
/// /// x and its square, for x = 0, 1, 2, …
/// struct Squares(Vec<Field>);
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         1000
///     }
///     fn fields(&self) -> &[Field] {
///         &self.0
///     }
///     fn fill(&self, index: usize, sample: &mut Sample<'_>) -> lumigrad::Result<()> {
///         sample.slot::<f32>(0)[0] = index as f32;
///         sample.slot::<f32>(1)[0] = (index * index) as f32;
///         Ok(())
///     }
/// }
///
/// let squares = Squares(vec![Field::new("x", &[], Kind::F32), Field::new("y", &[], Kind::F32)]);
/// assert_eq!(squares.get(7)?[1].as_slice::<f32>().unwrap(), [49.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// How many samples there are.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What every sample consists of, in the order of the slots. It must not change.
    fn fields(&self) -> &[Field];

    /// Writes sample `index` (below [`Dataset::len`]) into its place in a batch.
    ///
    /// Slots hold zeros before. It runs on the loader's thread; random changes to a sample should draw from
    /// [`Sample::seed`], so that an epoch can be repeated.
    ///
    /// # Errors
    /// Whatever keeps the sample from being loaded. The loader hands it on as [`Error::Sample`] with the index.
    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()>;

    /// This dataset with one field changed on the way: see [`transforms`](super::transforms).
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such field; a mistake of the transform for its shape and kind.
    fn transform(self, field: &str, transform: impl Transform + 'static) -> Result<Transformed<Self>>
    where
        Self: Sized,
    {
        Transformed::new(self, field, transform)
    }

    /// One sample in arrays of its own, one a field, with the shapes of [`Dataset::fields`].
    ///
    /// This is for looking at data: a [`DataLoader`](super::DataLoader) fills batches without such copies.
    ///
    /// # Errors
    /// [`Error::Sample`] when `index` is out of range, and whatever [`Dataset::fill`] returns.
    fn get(&self, index: usize) -> Result<Vec<HostArray>> {
        if index >= self.len() {
            return Err(out_of_range(index, self.len()));
        }
        let fields = self.fields();
        let mut arrays: Vec<_> = fields.iter().map(|f| HostArray::zeros(&f.shape, f.kind)).collect();
        self.fill(index, &mut Sample { fields, arrays: &mut arrays, row: 0, key: [0, 0, index as u64] })?;
        Ok(arrays)
    }
}

/// A sampler or a caller asked for a sample that is not there.
pub(super) fn out_of_range(index: usize, len: usize) -> Error {
    Error::Sample { index, detail: format!("out of range, the dataset has {len} samples") }
}

/// Hands a trait's methods on to what a pointer points at.
macro_rules! forward {
    ($pointer:ty) => {
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn fields(&self) -> &[Field] {
                (**self).fields()
            }
            fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
                (**self).fill(index, sample)
            }
        }
    };
}
forward!(std::sync::Arc<D>);
forward!(Box<D>);
forward!(&D);

/// The place of one sample in a batch: a typed slot a field.
pub struct Sample<'a> {
    pub(super) fields: &'a [Field],
    pub(super) arrays: &'a mut [HostArray],
    pub(super) row: usize,
    /// Seed, epoch and index: what the sample's randomness is a function of.
    pub(super) key: [u64; 3],
}

impl Sample<'_> {
    /// What the sample consists of; slots are numbered in this order.
    pub fn fields(&self) -> &[Field] {
        self.fields
    }

    /// The elements of a field in this sample, row-major, to be written.
    ///
    /// # Panics
    /// When there is no such field, or its kind is not `T`. A loader turns that into [`Error::Sample`].
    #[track_caller]
    pub fn slot<T: HostElement>(&mut self, field: usize) -> &mut [T] {
        let Some(f) = self.fields.get(field) else {
            panic!("slot {field} does not exist, the dataset has {} fields", self.fields.len())
        };
        let width = elements(&f.shape).unwrap_or(0);
        let Some(all) = self.arrays[field].as_mut_slice::<T>() else {
            panic!("field {:?} holds {}, not {}", f.name, f.kind, T::KIND)
        };
        &mut all[self.row * width..][..width]
    }

    /// Copies row `row` (position in the first dim) of `source` into a field's slot.
    ///
    /// # Panics
    /// When there is no such field or row, or the row differs from the slot in kind or number of elements.
    #[track_caller]
    pub fn copy_row(&mut self, field: usize, source: &HostArray, row: usize) {
        match source.kind() {
            Kind::U8 => self.copy::<u8>(field, source, row),
            Kind::F32 => self.copy::<f32>(field, source, row),
            Kind::I32 => self.copy::<i32>(field, source, row),
        }
    }

    #[track_caller]
    fn copy<T: HostElement>(&mut self, field: usize, source: &HostArray, row: usize) {
        let (rows, all) = (source.shape().first().copied().unwrap_or(0), source.as_slice::<T>().unwrap_or(&[]));
        assert!(row < rows, "row {row} is out of range for an array of shape {:?}", source.shape());
        let width = all.len() / rows;
        let slot = self.slot::<T>(field);
        assert!(slot.len() == width, "a row has {width} elements, the slot of field {field} takes {}", slot.len());
        slot.copy_from_slice(&all[row * width..][..width]);
    }

    /// Copies all of `source` into a field's slot; it must be of the slot's kind and length.
    pub(super) fn copy_whole(&mut self, field: usize, source: &HostArray) {
        match source.data() {
            HostData::U8(all) => self.slot(field).copy_from_slice(all),
            HostData::F32(all) => self.slot(field).copy_from_slice(all),
            HostData::I32(all) => self.slot(field).copy_from_slice(all),
        }
    }

    /// A seed for a transform's random numbers, apart from the dataset's own.
    pub(super) fn transform_seed(&self) -> u64 {
        sampler::transform_seed(self.key)
    }

    /// A number to seed random changes of this sample with: a function of the loader's seed, the epoch and the sample's
    /// index alone, so that neither the order nor the number of threads matters. Outside a loader, seed and epoch are 0.
    pub fn seed(&self) -> u64 {
        sampler::sample_seed(self.key)
    }

    /// Clears the slots, which may hold a sample of an earlier batch.
    pub(super) fn clear(&mut self) {
        for field in 0..self.fields.len() {
            match self.fields[field].kind {
                Kind::U8 => self.slot::<u8>(field).fill(0),
                Kind::F32 => self.slot::<f32>(field).fill(0.0),
                Kind::I32 => self.slot::<i32>(field).fill(0),
            }
        }
    }
}

/// Arrays of equal first dim as a dataset: sample `i` is row `i` of each, as `torch.utils.data.TensorDataset`.
///
/// ```
/// use lumigrad::data::{ArrayDataset, Dataset, HostArray};
///
/// let data = ArrayDataset::new([
///     ("x", HostArray::new(&[3, 2], vec![0.0f32, 0.1, 1.0, 1.1, 2.0, 2.1])),
///     ("y", HostArray::new(&[3], vec![5i32, 6, 7])),
/// ]);
/// assert_eq!(data.len(), 3);
/// assert_eq!(data.fields()[0].shape, [2]);
/// assert_eq!(data.get(2)?[0].as_slice::<f32>().unwrap(), [2.0, 2.1]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayDataset {
    fields: Vec<Field>,
    arrays: Vec<HostArray>,
    len: usize,
}

impl ArrayDataset {
    /// A dataset of named arrays, each `[samples, ...]`.
    ///
    /// # Panics
    /// When there is no array, one is a scalar, the first dims differ, or a name comes twice;
    /// [`ArrayDataset::try_new`] returns that as an error.
    #[track_caller]
    pub fn new<N: Into<String>>(arrays: impl IntoIterator<Item = (N, HostArray)>) -> Self {
        Self::try_new(arrays).unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`ArrayDataset::new`] that returns the mistake as [`Error::Shape`] or [`Error::Argument`].
    pub fn try_new<N: Into<String>>(arrays: impl IntoIterator<Item = (N, HostArray)>) -> Result<Self> {
        const OP: &str = "ArrayDataset";
        let mut data = ArrayDataset { fields: Vec::new(), arrays: Vec::new(), len: 0 };
        for (name, array) in arrays {
            let name = name.into();
            let Some((&rows, shape)) = array.shape().split_first() else {
                return Err(Error::shape(OP, format!("{name:?} is a scalar, expected [samples, ...]")));
            };
            if let Some(first) = data.fields.first()
                && rows != data.len
            {
                let detail = format!("{:?} has {} samples and {name:?} has {rows}", first.name, data.len);
                return Err(Error::shape(OP, detail));
            }
            if data.fields.iter().any(|f| f.name == name) {
                return Err(Error::argument(OP, format!("the name {name:?} comes twice")));
            }
            data.len = rows;
            data.fields.push(Field::new(name, shape, array.kind()));
            data.arrays.push(array);
        }
        if data.fields.is_empty() {
            return Err(Error::argument(OP, "no array was given, expected at least one"));
        }
        Ok(data)
    }

    /// The arrays, in the order of [`Dataset::fields`].
    pub fn arrays(&self) -> &[HostArray] {
        &self.arrays
    }
}

impl Dataset for ArrayDataset {
    fn len(&self) -> usize {
        self.len
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        for (field, array) in self.arrays.iter().enumerate() {
            sample.copy_row(field, array, index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_dataset_refuses_what_does_not_fit() {
        let fail = |arrays: Vec<(&str, HostArray)>| ArrayDataset::try_new(arrays).unwrap_err().to_string();
        let rows = |n: usize| HostArray::zeros(&[n, 2], Kind::F32);
        assert!(fail(vec![("x", rows(3)), ("y", rows(4))]).contains("\"x\" has 3 samples and \"y\" has 4"));
        assert!(fail(vec![("x", rows(3)), ("x", rows(3))]).contains("comes twice"));
        assert!(fail(vec![("x", HostArray::zeros(&[], Kind::U8))]).contains("scalar"));
        assert!(fail(vec![]).contains("no array"));
    }

    #[test]
    fn rows_land_in_their_place() {
        let data = ArrayDataset::new([("x", HostArray::new(&[3, 2], vec![1u8, 2, 3, 4, 5, 6]))]);
        let mut arrays = [HostArray::new(&[2, 2], vec![9u8; 4])];
        let mut sample = Sample { fields: data.fields(), arrays: &mut arrays, row: 1, key: [0; 3] };
        data.fill(2, &mut sample).unwrap();
        assert_eq!(arrays[0].as_slice::<u8>().unwrap(), [9, 9, 5, 6]);
        let mut sample = Sample { fields: data.fields(), arrays: &mut arrays, row: 1, key: [0; 3] };
        sample.clear();
        assert_eq!(arrays[0].as_slice::<u8>().unwrap(), [9, 9, 0, 0]);
    }

    #[test]
    fn get_says_when_there_is_no_such_sample() {
        let data = ArrayDataset::new([("x", HostArray::zeros(&[3, 0], Kind::I32))]);
        assert_eq!(data.get(2).unwrap()[0].shape(), [0]);
        let e = data.get(3).unwrap_err();
        assert!(matches!(e, Error::Sample { index: 3, .. }) && e.to_string().contains("has 3 samples"), "{e}");
    }

    #[test]
    #[should_panic(expected = "field \"x\" holds i32, not f32")]
    fn a_slot_of_another_kind_panics() {
        let fields = [Field::new("x", &[], Kind::I32)];
        let mut arrays = [HostArray::zeros(&[1], Kind::I32)];
        Sample { fields: &fields, arrays: &mut arrays, row: 0, key: [0; 3] }.slot::<f32>(0);
    }
}
