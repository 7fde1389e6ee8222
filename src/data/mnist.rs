//! MNIST and every data set that is published in the same four files, such as Fashion-MNIST and KMNIST.

use super::array::{HostArray, Kind};
use super::dataset::{Dataset, Field, Sample};
use super::idx;
use crate::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The part to train on.
    Train,
    /// The part to judge on.
    Test,
}

/// Labelled images of ten classes.
///
/// As a [`Dataset`] its fields are `images`, u8 `[1, rows, cols]` with 0 for the background and 255 for ink, and
/// `labels`, i32 `[]` from 0 to 9.
///
/// ```
/// use lumigrad::data::{Dataset, Mnist, Split};
///
/// let digits = Mnist::load("data/mnist-10k", Split::Test)?;
/// assert_eq!(digits.len(), 2000);
/// assert_eq!(digits.fields()[0].shape, [1, 28, 28]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mnist {
    images: HostArray,
    labels: HostArray,
    fields: Vec<Field>,
}

impl Mnist {
    /// Loads a split from the folder `dir` into memory.
    ///
    /// The files are `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or `t10k-` instead of `train-`, plain or
    /// with `.gz`; the spelling `train-images.idx3-ubyte` is known too. The size of the images is the file's.
    ///
    /// # Errors
    /// [`Error::File`] when a file is missing or can't be read; [`Error::Format`] when one is damaged, the numbers of
    /// images and labels differ, or a label is not 0 to 9.
    pub fn load(dir: impl AsRef<Path>, split: Split) -> Result<Mnist> {
        let (images_path, labels_path) =
            (find(dir.as_ref(), split, "images", 3)?, find(dir.as_ref(), split, "labels", 1)?);
        let images = idx::read(&images_path)?;
        let &[count, rows, cols] = images.shape() else {
            return Err(wrong_shape(&images_path, &images, "[images, rows, cols]"));
        };
        if images.kind() != Kind::U8 {
            return Err(Error::format(&images_path, format!("the pixels are {}, expected u8", images.kind())));
        }
        let labels = load_labels(&labels_path)?;
        if labels.len() != count {
            let detail = format!("holds {} labels for the {count} images of {}", labels.len(), images_path.display());
            return Err(Error::format(&labels_path, detail));
        }
        let fields = vec![Field::new("images", &[1, rows, cols], Kind::U8), Field::new("labels", &[], Kind::I32)];
        Ok(Mnist { images, labels, fields })
    }

    /// All images, u8 `[N, rows, cols]`.
    pub fn images(&self) -> &HostArray {
        &self.images
    }

    /// All labels, i32 `[N]`, each 0 to 9.
    pub fn labels(&self) -> &HostArray {
        &self.labels
    }
}

impl Dataset for Mnist {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        sample.copy_row(0, &self.images, index);
        sample.copy_row(1, &self.labels, index);
        Ok(())
    }
}

fn wrong_shape(path: &Path, array: &HostArray, expected: &str) -> Error {
    Error::format(path, format!("has the shape {:?}, expected {expected}", array.shape()))
}

/// Reads the labels as i32 and checks each, so that none can turn up as a wrong index in the middle of a training.
fn load_labels(path: &Path) -> Result<HostArray> {
    let labels = idx::read(path)?;
    if labels.shape().len() != 1 {
        return Err(wrong_shape(path, &labels, "[labels]"));
    }
    let Some(bytes) = labels.as_slice::<u8>() else {
        return Err(Error::format(path, format!("the labels are {}, expected u8", labels.kind())));
    };
    if let Some(at) = bytes.iter().position(|&label| label > 9) {
        return Err(Error::format(path, format!("label {} at position {at}; expected 0 to 9", bytes[at])));
    }
    HostArray::try_new(labels.shape(), bytes.iter().map(|&label| label.into()).collect::<Vec<i32>>())
}

/// The first of the names a file may go by that is there.
fn find(dir: &Path, split: Split, what: &str, dims: usize) -> Result<PathBuf> {
    let split = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let names =
        ["-", "."].map(|dot| format!("{split}-{what}{dot}idx{dims}-ubyte")).map(|name| [format!("{name}.gz"), name]);
    // Plain before packed: it needs no unpacking.
    for name in names.iter().flat_map(|[packed, plain]| [plain, packed]) {
        let path = dir.join(name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => return Ok(path),
            // Some archives unpack into a folder of the file's name.
            Ok(_) => continue,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(e) => return Err(Error::file(path, e)),
        }
    }
    let [[packed, plain], [old_packed, old]] = names;
    let detail = format!(
        "no such file here: {plain}, {packed}, {old} or {old_packed}; put the four files of MNIST into this folder, or \
         name the folder that holds them (torchvision's is MNIST/raw)"
    );
    Err(Error::file(dir, io::Error::new(io::ErrorKind::NotFound, detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundled(split: Split) -> Mnist {
        Mnist::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist-10k"), split).unwrap()
    }

    fn write(dir: &Path, name: &str, dims: &[u32], elements: &[u8]) {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
        file.extend(elements);
        fs::write(dir.join(name), file).unwrap();
    }

    #[test]
    fn the_bundled_digits_load() {
        for (split, count) in [(Split::Train, 8000), (Split::Test, 2000)] {
            let digits = bundled(split);
            assert_eq!((digits.len(), digits.images().shape()), (count, &[count, 28, 28][..]));
            let mut seen = [0usize; 10];
            for &label in digits.labels().as_slice::<i32>().unwrap() {
                seen[label as usize] += 1;
            }
            // Stratified: MNIST's digits are 9 to 11.3 % each.
            assert!(seen.iter().all(|&n| n * 1000 > count * 85 && n * 1000 < count * 120), "{seen:?}");
            let pixels = digits.images().as_slice::<u8>().unwrap();
            let mean = pixels.iter().map(|&p| p as f64).sum::<f64>() / pixels.len() as f64 / 255.0;
            // The mean that every MNIST tutorial normalises with.
            assert!((mean - 0.1307).abs() < 0.002, "{mean}");
        }
        let (train, test) = (bundled(Split::Train), bundled(Split::Test));
        let share = |d: &Mnist| {
            let ones = d.labels().as_slice::<i32>().unwrap().iter().filter(|&&l| l == 1).count();
            ones as f64 / d.len() as f64
        };
        assert!((share(&train) - share(&test)).abs() < 1e-3);
    }

    #[test]
    fn a_sample_is_its_row() {
        let digits = bundled(Split::Test);
        let sample = digits.get(1234).unwrap();
        let pixels = digits.images().as_slice::<u8>().unwrap();
        assert_eq!(sample[0].shape(), [1, 28, 28]);
        assert_eq!(sample[0].as_slice::<u8>().unwrap(), &pixels[1234 * 784..1235 * 784]);
        assert_eq!(sample[1].as_slice::<i32>().unwrap()[0], digits.labels().as_slice::<i32>().unwrap()[1234]);
    }

    #[test]
    fn plain_files_and_the_dotted_spelling_give_the_same() {
        let digits = bundled(Split::Test);
        let pixels = digits.images().as_slice::<u8>().unwrap();
        let labels: Vec<u8> = digits.labels().as_slice::<i32>().unwrap().iter().map(|&l| l as u8).collect();
        for separator in ["-", "."] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &format!("t10k-images{separator}idx3-ubyte"), &[2000, 28, 28], pixels);
            write(dir.path(), &format!("t10k-labels{separator}idx1-ubyte"), &[2000], &labels);
            let plain = Mnist::load(dir.path(), Split::Test).unwrap();
            assert!(plain.images() == digits.images() && plain.labels() == digits.labels());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (images, labels) = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
        let message = || Mnist::load(dir, Split::Train).unwrap_err().to_string();

        let missing = message();
        assert!(missing.starts_with(&dir.display().to_string()), "{missing}");
        for name in [images, "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "put the four files"] {
            assert!(missing.contains(name), "{missing}");
        }
        write(dir, images, &[2, 1, 3], &[0; 6]);
        assert!(message().contains(labels));

        write(dir, labels, &[3], &[0, 1, 2]);
        assert!(message().contains("3 labels for the 2 images"));
        write(dir, labels, &[2], &[9, 10]);
        assert!(message().contains("label 10 at position 1; expected 0 to 9"));
        write(dir, labels, &[2, 1], &[0, 1]);
        assert!(message().contains("[2, 1], expected [labels]"));
        write(dir, labels, &[2], &[0, 9]);
        assert_eq!(Mnist::load(dir, Split::Train).unwrap().fields()[0].shape, [1, 1, 3]);
        write(dir, images, &[2, 3], &[0; 6]);
        assert!(message().contains("[2, 3], expected [images, rows, cols]"));
    }
}
