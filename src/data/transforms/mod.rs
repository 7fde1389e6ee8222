//! Changes of samples on their way into a batch, as `torchvision.transforms`: on host arrays, seeded by sample.
//!
//! ```
//! use lumigrad::data::{Dataset, DataLoader, Mnist, Split};
//! use lumigrad::data::transforms::{Compose, Normalize, RandomCrop, ToTensor};
//!
//! let transform = Compose::new()
//!     .add(RandomCrop::new(28).padding(2))
//!     .add(ToTensor)
//!     .add(Normalize::new(&[0.1307], &[0.3081]));
//! let digits = Mnist::load("data/mnist-10k", Split::Train)?.transform("images", transform)?;
//! let loader = DataLoader::new(digits).batch_size(64).shuffle(true);
//! for batch in loader.epoch(0).take(1) {
//!     assert_eq!(batch?["images"].shape(), [64, 1, 28, 28]);
//! }
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! A transform's random numbers are a function of the loader's seed, the epoch and the sample, so the number of workers
//! changes nothing. All samples of a batch have one shape, so what comes out must have the same shape for every sample.

mod color;
mod dataset;
mod geometry;
mod warp;

pub use color::{ColorJitter, Grayscale};
pub use dataset::Transformed;
pub use geometry::{CenterCrop, Pad, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip, Resize, Size};
pub use warp::{Interpolation, RandomAffine, RandomRotation};

use super::array::{HostArray, HostData, Kind};
use super::dataset::Field;
use super::sampler::Random;
use crate::{Error, Result};

/// One change of an array, such as an image `[channels, height, width]`.
pub trait Transform: Send + Sync {
    /// What becomes of shape and kind; the name stays.
    ///
    /// # Errors
    /// When the transform does not take such an array.
    fn output(&self, input: &Field) -> Result<Field>;

    /// Changes the array, which is as `output`'s input said.
    ///
    /// # Errors
    /// Whatever keeps it from being changed.
    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()>;
}

impl<T: Transform + ?Sized> Transform for Box<T> {
    fn output(&self, input: &Field) -> Result<Field> {
        (**self).output(input)
    }
    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        (**self).apply(array, scratch)
    }
}

/// What transforms of one sample share: its random numbers, and memory that is used again.
pub struct Scratch {
    /// The sample's random numbers.
    pub random: Random,
    bytes: Vec<u8>,
    floats: Vec<f32>,
}

impl Scratch {
    /// With random numbers from a seed.
    pub fn new(seed: u64) -> Self {
        Scratch { random: Random::new(seed), bytes: Vec::new(), floats: Vec::new() }
    }

    /// Writes new elements from the old ones, in another shape perhaps.
    ///
    /// # Errors
    /// When the array holds integers, which are no pixels.
    pub(super) fn remake(&mut self, array: &mut HostArray, shape: &[usize], op: &impl Remake) -> Result<()> {
        match array.kind() {
            Kind::U8 => self.remake_as(array, shape, |old, new| op.run::<u8>(old, new)),
            Kind::F32 => self.remake_as(array, shape, |old, new| op.run::<f32>(old, new)),
            Kind::I32 => Err(no_pixels("transform", array.kind())),
        }
    }

    /// [`Scratch::remake`] for known kinds, which may differ.
    fn remake_as<A: Pixel, B: Pixel>(
        &mut self,
        array: &mut HostArray,
        shape: &[usize],
        run: impl FnOnce(&[A], &mut [B]),
    ) -> Result<()> {
        let mut new = std::mem::take(B::spare(self));
        new.clear();
        new.resize(shape.iter().product(), B::default());
        let old = array.as_slice::<A>().ok_or_else(|| no_pixels("transform", array.kind()))?;
        run(old, &mut new);
        match array.replace(shape, B::data(new)) {
            HostData::U8(old) => self.bytes = old,
            HostData::F32(old) => self.floats = old,
            HostData::I32(_) => {}
        }
        Ok(())
    }
}

/// A change that works the same on bytes and on floats.
pub(super) trait Remake {
    /// Fills `new` from `old`.
    fn run<P: Pixel>(&self, old: &[P], new: &mut [P]);
}

/// An element of an image: a byte from 0 to 255, or a float.
pub(super) trait Pixel: super::array::HostElement + Default + PartialOrd + Into<f32> {
    /// The largest value of a picture.
    const WHITE: f32;
    /// The nearest pixel that is not above the number, in the pixel's range: torchvision cuts off bytes.
    fn cut(value: f32) -> Self;
    /// The nearest pixel.
    fn round(value: f32) -> Self;
    fn spare(scratch: &mut Scratch) -> &mut Vec<Self>;
    fn data(pixels: Vec<Self>) -> HostData;
}

impl Pixel for u8 {
    const WHITE: f32 = 255.0;
    fn cut(value: f32) -> u8 {
        // `as` saturates.
        value as u8
    }
    fn round(value: f32) -> u8 {
        value.round_ties_even() as u8
    }
    fn spare(scratch: &mut Scratch) -> &mut Vec<u8> {
        &mut scratch.bytes
    }
    fn data(pixels: Vec<u8>) -> HostData {
        pixels.into()
    }
}

impl Pixel for f32 {
    const WHITE: f32 = 1.0;
    fn cut(value: f32) -> f32 {
        value
    }
    fn round(value: f32) -> f32 {
        value
    }
    fn spare(scratch: &mut Scratch) -> &mut Vec<f32> {
        &mut scratch.floats
    }
    fn data(pixels: Vec<f32>) -> HostData {
        pixels.into()
    }
}

fn no_pixels(op: &'static str, kind: Kind) -> Error {
    Error::dtype(op, format!("an array of {kind} holds no pixels, expected u8 or f32"))
}

/// Channels, height and width of an image.
pub(super) fn image_shape(op: &'static str, shape: &[usize]) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(shape)
        .map_err(|_| Error::shape(op, format!("expected an image [channels, height, width], the shape is {shape:?}")))
}

/// An image field: its shape, if it holds pixels.
pub(super) fn image_field(op: &'static str, field: &Field) -> Result<[usize; 3]> {
    if field.kind == Kind::I32 {
        return Err(no_pixels(op, field.kind));
    }
    image_shape(op, &field.shape)
}

/// Transforms one after the other.
#[derive(Default)]
pub struct Compose(Vec<Box<dyn Transform>>);

impl Compose {
    /// None so far.
    pub fn new() -> Self {
        Compose::default()
    }

    /// With one more at the end.
    #[expect(clippy::should_implement_trait, reason = "it adds to a list, as Sequential::add does")]
    pub fn add(mut self, transform: impl Transform + 'static) -> Self {
        self.0.push(Box::new(transform));
        self
    }
}

impl Transform for Compose {
    fn output(&self, input: &Field) -> Result<Field> {
        self.0.iter().try_fold(input.clone(), |field, transform| transform.output(&field))
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        self.0.iter().try_for_each(|transform| transform.apply(array, scratch))
    }
}

/// Bytes become floats from 0 to 1, as torchvision's `ToTensor`; floats stay.
///
/// An upload does that on the device, so only transforms that want floats need it before them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToTensor;

impl Transform for ToTensor {
    fn output(&self, input: &Field) -> Result<Field> {
        match input.kind {
            Kind::I32 => Err(no_pixels("ToTensor", input.kind)),
            _ => Ok(Field { kind: Kind::F32, ..input.clone() }),
        }
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        if array.kind() == Kind::F32 {
            return Ok(());
        }
        let shape = array.shape().to_vec();
        scratch.remake_as(array, &shape, |old: &[u8], new: &mut [f32]| {
            new.iter_mut().zip(old).for_each(|(to, &byte)| *to = f32::from(byte) / 255.0);
        })
    }
}

/// `(x − mean) / std` for each channel, as `torchvision.transforms.Normalize`. Bytes are divided by 255 first, so no
/// [`ToTensor`] has to stand before it.
#[derive(Clone, Debug)]
pub struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalize {
    /// By these numbers, one a channel or one for all.
    ///
    /// # Panics
    /// When there are not as many means as deviations, or a deviation is 0.
    #[track_caller]
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        assert!(
            mean.len() == std.len() && !mean.is_empty(),
            "Normalize: {} means, {} deviations",
            mean.len(),
            std.len()
        );
        assert!(!std.contains(&0.0), "Normalize: a standard deviation is 0: {std:?}");
        Normalize { mean: mean.to_vec(), std: std.to_vec() }
    }

    /// Runs `change` on every channel's elements with its mean and deviation.
    fn channels<A, B>(&self, old: &[A], new: &mut [B], channels: usize, change: impl Fn(&[A], &mut [B], f32, f32)) {
        let plane = old.len() / channels.max(1);
        for (c, (old, new)) in old.chunks(plane.max(1)).zip(new.chunks_mut(plane.max(1))).enumerate() {
            let c = c.min(self.mean.len() - 1);
            change(old, new, self.mean[c], self.std[c]);
        }
    }
}

impl Transform for Normalize {
    fn output(&self, input: &Field) -> Result<Field> {
        let channels = input.shape.first().copied().unwrap_or(1);
        if self.mean.len() != 1 && self.mean.len() != channels {
            let detail = format!("{} means for an array of shape {:?}", self.mean.len(), input.shape);
            return Err(Error::shape("Normalize", detail));
        }
        ToTensor.output(input)
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let channels = array.shape().first().copied().unwrap_or(1);
        if let Some(floats) = array.as_mut_slice::<f32>() {
            let plane = (floats.len() / channels.max(1)).max(1);
            for (c, values) in floats.chunks_mut(plane).enumerate() {
                let c = c.min(self.mean.len() - 1);
                let (mean, std) = (self.mean[c], self.std[c]);
                values.iter_mut().for_each(|x| *x = (*x - mean) / std);
            }
            return Ok(());
        }
        let shape = array.shape().to_vec();
        scratch.remake_as(array, &shape, |old: &[u8], new: &mut [f32]| {
            self.channels(old, new, channels, |old, new, mean, std| {
                new.iter_mut().zip(old).for_each(|(to, &byte)| *to = (f32::from(byte) / 255.0 - mean) / std);
            });
        })
    }
}

/// A function as a transform, as `torchvision.transforms.Lambda`. Shape and kind must stay.
///
/// ```
/// use lumigrad::data::{ArrayDataset, Dataset, HostArray, transforms::Lambda};
///
/// let invert = Lambda::new(|pixels, _random| {
///     pixels.as_mut_slice::<u8>().unwrap().iter_mut().for_each(|p| *p = 255 - *p);
///     Ok(())
/// });
/// let data = ArrayDataset::new([("x", HostArray::new(&[1, 2], vec![0u8, 10]))]).transform("x", invert)?;
/// assert_eq!(data.get(0)?[0].as_slice::<u8>().unwrap(), [255, 245]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub struct Lambda(Box<Change>);

type Change = dyn Fn(&mut HostArray, &mut Random) -> Result<()> + Send + Sync;

impl Lambda {
    /// A change of an array; its random numbers are the sample's.
    pub fn new(change: impl Fn(&mut HostArray, &mut Random) -> Result<()> + Send + Sync + 'static) -> Self {
        Lambda(Box::new(change))
    }
}

impl Transform for Lambda {
    fn output(&self, input: &Field) -> Result<Field> {
        Ok(input.clone())
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        (self.0)(array, &mut scratch.random)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
