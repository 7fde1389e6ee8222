//! Datasets made of datasets: parts, unions, and random splits.

use super::dataset::{Dataset, Field, Sample, out_of_range};
use super::sampler::{RandomSampler, Sampler};
use crate::{Error, Result};
use std::sync::Arc;

/// Chosen samples of a dataset, as `torch.utils.data.Subset`.
///
/// ```
/// use lumigrad::data::{ArrayDataset, Dataset, HostArray, Subset};
///
/// let data = ArrayDataset::new([("x", HostArray::new(&[4], vec![10i32, 11, 12, 13]))]);
/// let part = Subset::new(data, vec![3, 0, 3]);
/// assert_eq!(part.len(), 3);
/// assert_eq!(part.get(0)?[0].as_slice::<i32>().unwrap(), [13]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The samples at these positions, in this order; one may come twice.
    ///
    /// # Panics
    /// When a position is beyond the dataset; [`Subset::try_new`] returns that as an error.
    #[track_caller]
    pub fn new(dataset: D, indices: Vec<usize>) -> Self {
        Self::try_new(dataset, indices).unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`Subset::new`] that returns the mistake.
    ///
    /// # Errors
    /// [`Error::Sample`] with the first position that is beyond the dataset.
    pub fn try_new(dataset: D, indices: Vec<usize>) -> Result<Self> {
        match indices.iter().find(|&&i| i >= dataset.len()) {
            Some(&index) => Err(out_of_range(index, dataset.len())),
            None => Ok(Subset { dataset, indices }),
        }
    }

    /// Which samples of the dataset these are.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn fields(&self) -> &[Field] {
        self.dataset.fields()
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        self.dataset.fill(self.indices[index], sample)
    }
}

/// Cuts a dataset into parts of these lengths at random, as `torch.utils.data.random_split`. The same seed gives the
/// same parts.
///
/// ```
/// use lumigrad::data::{ArrayDataset, Dataset, HostArray, Kind, random_split};
///
/// let data = ArrayDataset::new([("x", HostArray::zeros(&[10, 3], Kind::F32))]);
/// let parts = random_split(data, &[8, 2], 0)?;
/// assert_eq!((parts[0].len(), parts[1].len()), (8, 2));
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the lengths do not add up to that of the dataset.
pub fn random_split<D: Dataset>(dataset: D, lengths: &[usize], seed: u64) -> Result<Vec<Subset<Arc<D>>>> {
    let len = dataset.len();
    let sum = lengths.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
    if sum != Some(len) {
        let detail = format!("the lengths {lengths:?} do not add up to the dataset's {len} samples");
        return Err(Error::argument("random_split", detail));
    }
    let mut order = Vec::with_capacity(len);
    RandomSampler { seed }.order(len, 0, &mut order);
    let dataset = Arc::new(dataset);
    let mut rest = order.into_iter();
    let parts = lengths.iter().map(|&n| Subset { dataset: dataset.clone(), indices: rest.by_ref().take(n).collect() });
    Ok(parts.collect())
}

/// [`random_split`] by shares of the whole, which must add up to 1: what is left by rounding down goes to the first
/// parts, one sample each, as PyTorch does.
///
/// # Errors
/// [`Error::Argument`] when a share is not from 0 to 1, or they do not add up to 1.
pub fn random_split_by<D: Dataset>(dataset: D, shares: &[f64], seed: u64) -> Result<Vec<Subset<Arc<D>>>> {
    let in_range = shares.iter().all(|s| (0.0..=1.0).contains(s));
    if !in_range || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-9 {
        let detail = format!("the shares {shares:?} must each be from 0 to 1 and add up to 1");
        return Err(Error::argument("random_split_by", detail));
    }
    let len = dataset.len();
    let mut lengths: Vec<usize> = shares.iter().map(|share| (len as f64 * share).floor() as usize).collect();
    let missing = len - lengths.iter().sum::<usize>();
    let parts = lengths.len();
    (0..missing).for_each(|i| lengths[i % parts] += 1);
    random_split(dataset, &lengths, seed)
}

/// Datasets one behind the other, as `torch.utils.data.ConcatDataset`. Their fields must be the same.
///
/// ```
/// use lumigrad::data::{ArrayDataset, ConcatDataset, Dataset, HostArray};
///
/// let numbers = |v: Vec<i32>| ArrayDataset::new([("x", HostArray::new(&[v.len()], v))]);
/// let both = ConcatDataset::new(vec![numbers(vec![1, 2]), numbers(vec![3])]);
/// assert_eq!(both.get(2)?[0].as_slice::<i32>().unwrap(), [3]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConcatDataset<D> {
    parts: Vec<D>,
    /// Where each part ends.
    ends: Vec<usize>,
}

impl<D: Dataset> ConcatDataset<D> {
    /// All samples of all parts. Parts of different types go in as `Box<dyn Dataset>` or `Arc<dyn Dataset>`.
    ///
    /// # Panics
    /// When there is no part, or their fields differ; [`ConcatDataset::try_new`] returns that as an error.
    #[track_caller]
    pub fn new(parts: Vec<D>) -> Self {
        Self::try_new(parts).unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`ConcatDataset::new`] that returns the mistake.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no part, or their fields differ.
    pub fn try_new(parts: Vec<D>) -> Result<Self> {
        const OP: &str = "ConcatDataset";
        let Some(first) = parts.first() else {
            return Err(Error::argument(OP, "no dataset was given, expected at least one"));
        };
        if let Some((i, part)) = parts.iter().enumerate().find(|(_, part)| part.fields() != first.fields()) {
            let detail = format!(
                "all datasets must have the same fields: the first has {:?}, number {i} has {:?}",
                first.fields(),
                part.fields()
            );
            return Err(Error::argument(OP, detail));
        }
        let mut end = 0;
        let ends = parts.iter().map(|part| {
            end += part.len();
            end
        });
        Ok(ConcatDataset { ends: ends.collect(), parts })
    }
}

impl<D: Dataset> Dataset for ConcatDataset<D> {
    fn len(&self) -> usize {
        self.ends[self.ends.len() - 1]
    }

    fn fields(&self) -> &[Field] {
        self.parts[0].fields()
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        let part = self.ends.partition_point(|&end| end <= index);
        let start = if part == 0 { 0 } else { self.ends[part - 1] };
        self.parts[part].fill(index - start, sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ArrayDataset, DataLoader, HostArray, Kind};

    fn numbers(range: std::ops::Range<i32>) -> ArrayDataset {
        ArrayDataset::new([("x", HostArray::new(&[range.len()], range.collect::<Vec<_>>()))])
    }

    fn all(data: impl Dataset) -> Vec<i32> {
        (0..data.len()).map(|i| data.get(i).unwrap()[0].as_slice::<i32>().unwrap()[0]).collect()
    }

    #[test]
    fn a_subset_refuses_what_is_not_there() {
        assert_eq!(all(Subset::new(numbers(0..5), vec![4, 0, 4])), [4, 0, 4]);
        let e = Subset::try_new(numbers(0..5), vec![0, 5]).unwrap_err();
        assert!(matches!(e, Error::Sample { index: 5, .. }), "{e}");
    }

    #[test]
    fn a_random_split_is_a_partition() {
        let parts = random_split(numbers(0..100), &[70, 0, 30], 3).unwrap();
        let values: Vec<Vec<i32>> = parts.iter().map(all).collect();
        assert_eq!(values.iter().map(Vec::len).collect::<Vec<_>>(), [70, 0, 30]);
        let mut sorted = values.concat();
        assert!(sorted[..70] != (0..70).collect::<Vec<_>>()[..], "not in order");
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        let again: Vec<Vec<i32>> = random_split(numbers(0..100), &[70, 0, 30], 3).unwrap().iter().map(all).collect();
        assert_eq!(again, values);
        let e = random_split(numbers(0..100), &[70, 31], 3).unwrap_err().to_string();
        assert!(e.contains("[70, 31]") && e.contains("100 samples"), "{e}");
    }

    #[test]
    fn shares_are_rounded_as_pytorch_does() {
        let lengths = |n, shares: &[f64]| {
            random_split_by(numbers(0..n), shares, 0).map(|p| p.iter().map(Dataset::len).collect::<Vec<_>>())
        };
        assert_eq!(lengths(10, &[0.33, 0.33, 0.34]).unwrap(), [4, 3, 3]);
        assert_eq!(lengths(11, &[0.5, 0.5]).unwrap(), [6, 5]);
        assert!(lengths(10, &[0.5, 0.6]).unwrap_err().to_string().contains("add up to 1"));
        assert!(lengths(10, &[1.5, -0.5]).is_err());
    }

    #[test]
    fn parts_follow_each_other() {
        let data = ConcatDataset::new(vec![numbers(0..3), numbers(3..3), numbers(3..10)]);
        assert_eq!(all(&data), (0..10).collect::<Vec<_>>());
        let loader = DataLoader::new(data).batch_size(4);
        let rows: Vec<i32> =
            loader.epoch(0).flat_map(|b| b.unwrap()["x"].as_slice::<i32>().unwrap().to_vec()).collect();
        assert_eq!(rows, (0..10).collect::<Vec<_>>());
        assert!(ConcatDataset::<ArrayDataset>::try_new(vec![]).is_err());
        let other = ArrayDataset::new([("y", HostArray::zeros(&[2], Kind::F32))]);
        let e = ConcatDataset::try_new(vec![numbers(0..2), other]).unwrap_err().to_string();
        assert!(e.contains("\"x\"") && e.contains("\"y\""), "{e}");
    }
}
