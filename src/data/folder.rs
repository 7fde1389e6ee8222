//! A folder of pictures, one folder a class.

use super::array::{HostArray, Kind};
use super::dataset::{Dataset, Field, Sample};
use super::transforms::{Scratch, Transform};
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Pictures in folders that are named after their classes, as `torchvision.datasets.ImageFolder`:
/// `train/cat/1.png`, `train/dog/2.jpg`.
///
/// Pictures (PNG and JPEG, by the endings of their names) are decoded when they are asked for, as red, green and blue, and
/// go through a transform that must give all the same size. Fields: `images` as the transform gives them, and `labels`,
/// i32 `[]`: the number of the folder in the order of the names.
///
/// ```no_run
/// use lumigrad::data::transforms::{CenterCrop, Compose, Resize};
/// use lumigrad::data::{DataLoader, ImageFolder};
///
/// let pets = ImageFolder::new("pets/train", Compose::new().add(Resize::shorter(256)).add(CenterCrop::new(224)))?;
/// println!("{:?}", pets.classes());
/// let loader = DataLoader::new(pets).batch_size(32).shuffle(true).num_workers(4);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub struct ImageFolder {
    classes: Vec<String>,
    /// Every picture with the number of its class.
    files: Vec<(PathBuf, usize)>,
    fields: Vec<Field>,
    transform: Box<dyn Transform>,
    spare: Mutex<Vec<Scratch>>,
}

impl ImageFolder {
    /// The pictures of `dir`, in folders of any depth below that of a class.
    ///
    /// # Errors
    /// [`Error::File`] when a folder can't be read; [`Error::Format`] when there is no class, a class has no picture, or the
    /// first picture can't be decoded; what the transform says about the first picture's shape.
    pub fn new(dir: impl AsRef<Path>, transform: impl Transform + 'static) -> Result<Self> {
        let dir = dir.as_ref();
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for folder in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
            let before = files.len();
            collect(&folder, &mut |path| files.push((path, classes.len())))?;
            if files.len() == before {
                return Err(Error::format(folder, "holds no picture (PNG or JPEG), but its name would be a class"));
            }
            classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        let Some((first, _)) = files.first() else {
            return Err(Error::format(dir, "holds no folders of classes with pictures, such as cat/1.png"));
        };
        let picture = decode(first)?;
        let field = transform.output(&Field::new("images", picture.shape(), Kind::U8))?;
        let fields = vec![field, Field::new("labels", &[], Kind::I32)];
        Ok(ImageFolder { classes, files, fields, transform: Box::new(transform), spare: Mutex::default() })
    }

    /// The names of the classes; a label is a position here.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The file of a sample; nothing when there is no such sample.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|(path, _)| path.as_path())
    }

    /// The picture of a file, transformed.
    fn load(&self, path: &Path, scratch: &mut Scratch) -> Result<HostArray> {
        let mut picture = decode(path)?;
        // The transform has only been asked about the first picture's shape.
        let said = self.transform.output(&Field::new("images", picture.shape(), Kind::U8));
        let said = said.map_err(|e| Error::format(path, e.to_string()))?;
        let want = &self.fields[0];
        if (&said.shape, said.kind) != (&want.shape, want.kind) {
            let detail = format!(
                "becomes {:?}, but the first picture {:?}; end the transform with one size for all, such as CenterCrop",
                said.shape, want.shape
            );
            return Err(Error::format(path, detail));
        }
        self.transform.apply(&mut picture, scratch).map_err(|e| Error::format(path, e.to_string()))?;
        if (picture.shape(), picture.kind()) != (&want.shape[..], want.kind) {
            let detail = format!("the transform gave {:?}, but said {:?}", picture.shape(), want.shape);
            return Err(Error::format(path, detail));
        }
        Ok(picture)
    }
}

/// What a folder holds, in the order of the names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |e| Error::file(dir, e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(wrong)? {
        paths.push(entry.map_err(wrong)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Every picture in a folder and below.
fn collect(dir: &Path, found: &mut dyn FnMut(PathBuf)) -> Result<()> {
    for path in entries(dir)? {
        if path.is_dir() {
            collect(&path, found)?;
        } else if image::ImageFormat::from_path(&path).is_ok_and(|format| format.reading_enabled()) {
            found(path);
        }
    }
    Ok(())
}

/// A picture as u8 `[3, height, width]`. What it is, its content says.
fn decode(path: &Path) -> Result<HostArray> {
    let open = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    let reader = open.map_err(|e| Error::file(path, e))?;
    let picture = reader.decode().map_err(|e| match e {
        image::ImageError::IoError(e) if e.raw_os_error().is_some() => Error::file(path, e),
        other => Error::format(path, format!("can't be decoded: {other}")),
    })?;
    let pixels = picture.into_rgb8();
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let mut planes = vec![0; 3 * width * height];
    let (red, rest) = planes.split_at_mut(width * height);
    let (green, blue) = rest.split_at_mut(width * height);
    for (((pixel, r), g), b) in pixels.as_raw().chunks_exact(3).zip(red).zip(green).zip(blue) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
    }
    HostArray::try_new(&[3, height, width], planes)
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn fill(&self, index: usize, sample: &mut Sample<'_>) -> Result<()> {
        let (path, class) = &self.files[index];
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = spare.unwrap_or_else(|| Scratch::new(0));
        scratch.random.reseed(sample.transform_seed());
        let picture = self.load(path, &mut scratch)?;
        sample.copy_whole(0, &picture);
        sample.slot::<i32>(1)[0] = *class as i32;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataLoader;
    use crate::data::transforms::{CenterCrop, Compose, Normalize, RandomCrop, RandomHorizontalFlip, Resize};
    use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    fn picture(path: &Path, image: impl Into<DynamicImage>) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.into().save(path).unwrap();
    }

    fn plain(path: &Path, width: u32, height: u32, colour: [u8; 3]) {
        picture(path, RgbImage::from_pixel(width, height, Rgb(colour)));
    }

    fn message(data: Result<impl Dataset>) -> String {
        data.err().expect("an error").to_string()
    }

    #[test]
    fn folders_are_classes() {
        let dir = tempfile::tempdir().unwrap();
        plain(&dir.path().join("dog/1.png"), 8, 6, [10, 20, 30]);
        plain(&dir.path().join("cat/deep/2.PNG"), 5, 9, [40, 50, 60]);
        plain(&dir.path().join("cat/1.png"), 6, 6, [70, 80, 90]);
        fs::write(dir.path().join("cat/notes.txt"), "no picture").unwrap();
        fs::write(dir.path().join("readme.png"), "not in a class").unwrap();
        let sizes = || Compose::new().add(Resize::shorter(4)).add(CenterCrop::new(4));
        let data = ImageFolder::new(dir.path(), sizes()).unwrap();
        assert_eq!((data.classes(), data.len()), (&["cat".to_string(), "dog".into()][..], 3));
        assert_eq!((data.path(2), data.path(3)), (Some(&*dir.path().join("dog/1.png")), None));
        let batch = DataLoader::new(data).batch_size(3).epoch(0).next().unwrap().unwrap();
        assert_eq!(batch["images"].shape(), [3, 3, 4, 4]);
        assert_eq!(batch["labels"].as_slice::<i32>().unwrap(), [0, 0, 1]);
        let firsts: Vec<u8> = batch["images"].as_slice::<u8>().unwrap().iter().step_by(16).copied().collect();
        assert_eq!(firsts, [70, 80, 90, 40, 50, 60, 10, 20, 30]);
    }

    #[test]
    fn every_pixel_lands_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let colour = |x: u32, y: u32| [(x * 20) as u8, (y * 30) as u8, (x * y) as u8];
        picture(&dir.path().join("a/1.png"), RgbImage::from_fn(5, 3, |x, y| Rgb(colour(x, y))));
        // Grey is three times the same; what is transparent keeps its colour.
        picture(&dir.path().join("b/grey.png"), GrayImage::from_fn(5, 3, |x, y| Luma([(x + 5 * y) as u8])));
        picture(&dir.path().join("c/alpha.png"), RgbaImage::from_pixel(5, 3, Rgba([1, 2, 3, 0])));
        let deep: ImageBuffer<Rgb<u16>, Vec<u16>> = ImageBuffer::from_pixel(5, 3, Rgb([65535, 32768, 0]));
        picture(&dir.path().join("d/16.png"), deep);
        let data = ImageFolder::new(dir.path(), Compose::new()).unwrap();
        let pixels = |index: usize| data.get(index).unwrap().remove(0);
        let first = pixels(0);
        assert_eq!(first.shape(), [3, 3, 5]);
        for (i, &value) in first.as_slice::<u8>().unwrap().iter().enumerate() {
            let (channel, y, x) = (i / 15, i / 5 % 3, i % 5);
            assert_eq!(value, colour(x as u32, y as u32)[channel], "channel {channel}, line {y}, column {x}");
        }
        assert_eq!(pixels(1).as_slice::<u8>().unwrap(), (0..15).collect::<Vec<u8>>().repeat(3));
        let planes = |colour: [u8; 3]| colour.map(|value| [value; 15]).concat();
        assert_eq!(pixels(2).as_slice::<u8>().unwrap(), planes([1, 2, 3]));
        assert_eq!(pixels(3).as_slice::<u8>().unwrap(), planes([255, 128, 0]));
    }

    #[test]
    fn jpeg_is_told_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        plain(&dir.path().join("a/1.jpg"), 16, 16, [200, 100, 50]);
        plain(&dir.path().join("a/2.jpeg"), 16, 16, [200, 100, 50]);
        fs::copy(dir.path().join("a/1.jpg"), dir.path().join("a/3.png")).unwrap();
        let data = ImageFolder::new(dir.path(), Normalize::new(&[0.5], &[0.5])).unwrap();
        assert_eq!((data.len(), data.fields()[0].kind), (3, Kind::F32));
        for index in 0..3 {
            let pixels = data.get(index).unwrap().remove(0);
            for (pixels, want) in pixels.as_slice::<f32>().unwrap().chunks(256).zip([200.0, 100.0, 50.0]) {
                // JPEG keeps a plain colour to a few steps of 255.
                assert!(pixels.iter().all(|p| ((p + 1.0) * 127.5 - want).abs() < 4.0), "{want}: {}", pixels[0]);
            }
        }
    }

    #[test]
    fn random_changes_do_not_depend_on_workers() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..12u32 {
            let image = RgbImage::from_fn(12, 9, |x, y| Rgb([(x * 20) as u8, (y * 20) as u8, i as u8]));
            picture(&dir.path().join(format!("{}/{i}.png", i % 3)), image);
        }
        let epoch = |workers: usize| -> Vec<u8> {
            let random = Compose::new().add(RandomCrop::new(6)).add(RandomHorizontalFlip::new());
            let data = ImageFolder::new(dir.path(), random).unwrap();
            let loader = DataLoader::new(data).batch_size(5).shuffle(true).seed(3).num_workers(workers);
            loader.epoch(1).flat_map(|batch| batch.unwrap()["images"].as_slice::<u8>().unwrap().to_vec()).collect()
        };
        assert_eq!(epoch(0).len(), 12 * 3 * 36);
        assert_eq!(epoch(0), epoch(3));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let open = || ImageFolder::new(dir.path(), Compose::new());
        assert!(message(open()).contains("such as cat/1.png"));
        let e = ImageFolder::new(dir.path().join("nowhere"), Compose::new()).err().unwrap();
        assert!(matches!(e, Error::File { .. }));
        fs::create_dir(dir.path().join("cat")).unwrap();
        let e = message(open());
        assert!(e.contains("cat") && e.contains("no picture"), "{e}");
        let bad = dir.path().join("cat/1.png");
        fs::write(&bad, "not a picture").unwrap();
        let e = message(open());
        assert!(e.starts_with(&format!("{}: can't be decoded", bad.display())), "{e}");

        // One that is cut short or of another size comes up when it is loaded, and costs its batch alone.
        plain(&bad, 8, 6, [1, 2, 3]);
        let noise = RgbImage::from_fn(8, 6, |x, y| Rgb([(x * 31 + y * 57) as u8, (x * y * 13) as u8, (x * 101) as u8]));
        picture(&dir.path().join("cat/2.jpg"), noise);
        let cut = fs::read(dir.path().join("cat/2.jpg")).unwrap();
        fs::write(dir.path().join("cat/2.jpg"), &cut[..40]).unwrap();
        plain(&dir.path().join("cat/3.png"), 6, 6, [1, 2, 3]);
        plain(&dir.path().join("cat/4.png"), 8, 6, [1, 2, 3]);
        let data = open().unwrap();
        let mut batches = DataLoader::new(data).epoch(0);
        assert!(batches.next().unwrap().is_ok());
        let e = batches.next().unwrap().unwrap_err();
        assert!(
            matches!(e, Error::Sample { index: 1, .. }) && e.to_string().contains("2.jpg: can't be decoded"),
            "{e}"
        );
        let e = batches.next().unwrap().unwrap_err().to_string();
        assert!(e.contains("3.png") && e.contains("[3, 6, 6]") && e.contains("[3, 6, 8]"), "{e}");
        assert!(batches.next().unwrap().is_ok());

        // A file that goes away later.
        let data =
            ImageFolder::new(dir.path(), Compose::new().add(Resize::shorter(4)).add(CenterCrop::new(4))).unwrap();
        fs::remove_file(&bad).unwrap();
        let e = data.get(0).unwrap_err().to_string();
        assert!(e.contains("1.png"), "{e}");
    }
}
