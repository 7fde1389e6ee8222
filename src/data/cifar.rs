//! CIFAR-10 and CIFAR-100, in the binary form of their home page.

use super::array::{HostArray, Kind};
use super::dataset::{Dataset, Field, Sample};
use super::mnist::Split;
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Channels, height and width of an image.
const IMAGE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// Small colour photographs of ten or a hundred classes (Krizhevsky, 2009).
/// <https://www.cs.toronto.edu/~kriz/cifar.html>
///
/// As a [`Dataset`] its fields are `images`, u8 `[3, 32, 32]`, and `labels`, i32 `[]`; CIFAR-100 has `coarse_labels`,
/// i32 `[]` from 0 to 19, too.
#[derive(Clone, Debug)]
pub struct Cifar {
    images: HostArray,
    /// The fine labels, then the coarse ones where there are some.
    labels: Vec<HostArray>,
    fields: Vec<Field>,
}

/// How a version of the data set is laid out.
struct Format {
    /// The folder that the published archive unpacks into.
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// The numbers of classes in the order of the bytes before an image, and which field each is.
    labels: &'static [(usize, &'static str)],
}

const CIFAR10: Format = Format {
    folder: "cifar-10-batches-bin",
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    labels: &[(10, "labels")],
};

const CIFAR100: Format = Format {
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    labels: &[(20, "coarse_labels"), (100, "labels")],
};

impl Cifar {
    /// Loads a split of CIFAR-10 from `data_batch_1.bin` to `data_batch_5.bin` or `test_batch.bin` in `dir`, or in the
    /// folder `cifar-10-batches-bin` in it.
    ///
    /// # Errors
    /// [`Error::File`] when a file is missing or can't be read, [`Error::Format`] when one is damaged.
    pub fn load_10(dir: impl AsRef<Path>, split: Split) -> Result<Cifar> {
        Self::load(dir.as_ref(), split, &CIFAR10)
    }

    /// Loads a split of CIFAR-100 from `train.bin` or `test.bin` in `dir`, or in the folder `cifar-100-binary` in it.
    ///
    /// # Errors
    /// [`Error::File`] when a file is missing or can't be read, [`Error::Format`] when one is damaged.
    pub fn load_100(dir: impl AsRef<Path>, split: Split) -> Result<Cifar> {
        Self::load(dir.as_ref(), split, &CIFAR100)
    }

    fn load(dir: &Path, split: Split, format: &Format) -> Result<Cifar> {
        let inner = dir.join(format.folder);
        let dir = if inner.is_dir() { inner } else { dir.to_path_buf() };
        let files: Vec<PathBuf> = match split {
            Split::Train => format.train.iter().map(|name| dir.join(name)).collect(),
            Split::Test => vec![dir.join(format.test)],
        };
        let (mut pixels, mut labels) = (Vec::new(), vec![Vec::new(); format.labels.len()]);
        for path in &files {
            let bytes = fs::read(path).map_err(|e| Error::file(path, e))?;
            read_records(path, &bytes, format, &mut pixels, &mut labels)?;
        }
        let samples = labels[0].len();
        let mut fields = vec![Field::new("images", &IMAGE, Kind::U8)];
        // `labels` is what people mean: it comes first.
        let mut named: Vec<_> = format.labels.iter().map(|(_, name)| *name).zip(labels).collect();
        named.reverse();
        fields.extend(named.iter().map(|(name, _)| Field::new(*name, &[], Kind::I32)));
        let images = HostArray::try_new(&[&[samples][..], &IMAGE].concat(), pixels)?;
        let labels = named.into_iter().map(|(_, l)| HostArray::try_new(&[samples], l)).collect::<Result<_>>()?;
        Ok(Cifar { images, labels, fields })
    }

    /// All images, u8 `[N, 3, 32, 32]`.
    pub fn images(&self) -> &HostArray {
        &self.images
    }

    /// All labels, i32 `[N]`.
    pub fn labels(&self) -> &HostArray {
        &self.labels[0]
    }
}

/// Appends the records of a file: the label bytes, then the planes red, green and blue.
fn read_records(
    path: &Path,
    bytes: &[u8],
    format: &Format,
    pixels: &mut Vec<u8>,
    labels: &mut [Vec<i32>],
) -> Result<()> {
    let head = format.labels.len();
    let record = head + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let detail = format!("holds {} bytes, expected a multiple of {record} above 0", bytes.len());
        return Err(Error::format(path, detail));
    }
    for (number, one) in bytes.chunks_exact(record).enumerate() {
        for ((list, &label), (classes, name)) in labels.iter_mut().zip(one).zip(format.labels) {
            if usize::from(label) >= *classes {
                let detail = format!("image {number} has {label} among its {name}; expected 0 to {}", classes - 1);
                return Err(Error::format(path, detail));
            }
            list.push(label.into());
        }
        pixels.extend_from_slice(&one[head..]);
    }
    Ok(())
}

impl Dataset for Cifar {
    fn len(&self) -> usize {
        self.labels[0].len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        sample.copy_row(0, &self.images, index);
        for (i, labels) in self.labels.iter().enumerate() {
            sample.copy_row(i + 1, labels, index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(labels: &[u8], first: u8) -> Vec<u8> {
        [labels.to_vec(), (0..PIXELS).map(|i| first.wrapping_add((i % 251) as u8)).collect()].concat()
    }

    #[test]
    fn records_become_samples() {
        let dir = tempfile::tempdir().unwrap();
        for (i, name) in CIFAR10.train.iter().enumerate() {
            let bytes = [record(&[i as u8], 1), record(&[9 - i as u8], 2)].concat();
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let data = Cifar::load_10(dir.path(), Split::Train).unwrap();
        assert_eq!(data.labels().as_slice::<i32>().unwrap(), [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
        let sample = data.get(3).unwrap();
        assert_eq!((sample[0].shape(), sample[0].as_slice::<u8>().unwrap()), (&IMAGE[..], &record(&[], 2)[..]));
        assert_eq!(sample[1].as_slice::<i32>().unwrap(), [8]);

        let inner = dir.path().join(CIFAR100.folder);
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("test.bin"), record(&[19, 99], 0)).unwrap();
        let data = Cifar::load_100(dir.path(), Split::Test).unwrap();
        let names: Vec<_> = data.fields().iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["images", "labels", "coarse_labels"]);
        let sample = data.get(0).unwrap();
        assert_eq!(
            (sample[1].as_slice::<i32>().unwrap(), sample[2].as_slice::<i32>().unwrap()),
            (&[99][..], &[19][..])
        );
    }

    #[test]
    fn damage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Cifar::load_10(dir.path(), Split::Test).unwrap_err().to_string();
        assert!(load().contains("test_batch.bin"));
        let write = |bytes: &[u8]| fs::write(dir.path().join("test_batch.bin"), bytes).unwrap();
        write(&record(&[3], 0)[1..]);
        assert!(load().contains("multiple of 3073"));
        write(b"");
        assert!(load().contains("0 bytes"));
        write(&[record(&[3], 0), record(&[10], 0)].concat());
        assert!(load().contains("image 1 has 10"));
    }
}
