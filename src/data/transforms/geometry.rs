//! Which pixels of an image are taken: crops, borders, flips, another size.

use super::{Pixel, Remake, Scratch, Transform, image_field, image_shape};
use crate::data::array::HostArray;
use crate::data::dataset::Field;
use crate::{Error, Result};

/// Height and width: `28` stands for both, `(32, 64)` is height first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl From<usize> for Size {
    fn from(side: usize) -> Self {
        Size { height: side, width: side }
    }
}

impl From<(usize, usize)> for Size {
    fn from((height, width): (usize, usize)) -> Self {
        Size { height, width }
    }
}

/// Copies a rectangle that may reach beyond the image, where it is filled.
struct Rectangle {
    /// Channels, height and width of the image.
    image: [usize; 3],
    top: isize,
    left: isize,
    size: Size,
    /// As a share of white.
    fill: f32,
}

impl Remake for Rectangle {
    fn run<P: Pixel>(&self, old: &[P], new: &mut [P]) {
        let ([_, height, width], Size { height: rows, width: columns }) = (self.image, self.size);
        new.fill(P::round(self.fill * P::WHITE));
        if height * width == 0 || rows * columns == 0 {
            return;
        }
        // The part that both have, in the new image's columns and rows.
        let overlap = |start: isize, old: usize, new: usize| {
            let first = (-start).clamp(0, new as isize) as usize;
            first..((old as isize - start).clamp(first as isize, new as isize) as usize)
        };
        let (across, down) = (overlap(self.left, width, columns), overlap(self.top, height, rows));
        for (old, new) in old.chunks_exact(height * width).zip(new.chunks_exact_mut(rows * columns)) {
            for row in down.clone() {
                let source = (row as isize + self.top) as usize * width;
                let from = source.wrapping_add_signed(self.left + across.start as isize);
                new[row * columns..][across.clone()].copy_from_slice(&old[from..from + across.len()]);
            }
        }
    }
}

fn cut(array: &mut HostArray, scratch: &mut Scratch, rectangle: Rectangle) -> Result<()> {
    let shape = [rectangle.image[0], rectangle.size.height, rectangle.size.width];
    scratch.remake(array, &shape, &rectangle)
}

fn resized(input: &Field, size: Size) -> Field {
    Field { shape: vec![input.shape[0], size.height, size.width], ..input.clone() }
}

/// The middle of an image; black where it is smaller. `torchvision.transforms.CenterCrop`.
#[derive(Clone, Copy, Debug)]
pub struct CenterCrop(Size);

impl CenterCrop {
    /// To this size.
    pub fn new(size: impl Into<Size>) -> Self {
        CenterCrop(size.into())
    }
}

impl Transform for CenterCrop {
    fn output(&self, input: &Field) -> Result<Field> {
        image_field("CenterCrop", input)?;
        Ok(resized(input, self.0))
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let image = image_shape("CenterCrop", array.shape())?;
        // An odd rest is rounded to even where the image is cut and down where it is padded, as in torchvision.
        let start = |old: usize, new: usize| match old >= new {
            true => ((old - new) as f64 / 2.0).round_ties_even() as isize,
            false => -(((new - old) / 2) as isize),
        };
        let (top, left) = (start(image[1], self.0.height), start(image[2], self.0.width));
        cut(array, scratch, Rectangle { image, top, left, size: self.0, fill: 0.0 })
    }
}

/// A border around an image: `torchvision.transforms.Pad` with a constant.
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    /// Left, top, right and bottom.
    border: [usize; 4],
    fill: f32,
}

impl Pad {
    /// As many black pixels on every side.
    pub fn new(border: usize) -> Self {
        Pad::sides(border, border, border, border)
    }

    /// Black pixels, in torchvision's order.
    pub fn sides(left: usize, top: usize, right: usize, bottom: usize) -> Self {
        Pad { border: [left, top, right, bottom], fill: 0.0 }
    }

    /// What the border is filled with, from 0 (black) to 1 (white).
    pub fn fill(mut self, fill: f32) -> Self {
        self.fill = fill;
        self
    }

    fn size(&self, [_, height, width]: [usize; 3]) -> Size {
        let [left, top, right, bottom] = self.border;
        Size { height: height + top + bottom, width: width + left + right }
    }
}

impl Transform for Pad {
    fn output(&self, input: &Field) -> Result<Field> {
        let image = image_field("Pad", input)?;
        Ok(resized(input, self.size(image)))
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let image = image_shape("Pad", array.shape())?;
        let [left, top, ..] = self.border;
        let (top, left) = (-(top as isize), -(left as isize));
        cut(array, scratch, Rectangle { image, top, left, size: self.size(image), fill: self.fill })
    }
}

/// A rectangle at a random place: `torchvision.transforms.RandomCrop`.
#[derive(Clone, Copy, Debug)]
pub struct RandomCrop {
    size: Size,
    padding: usize,
    fill: f32,
}

impl RandomCrop {
    /// To this size.
    pub fn new(size: impl Into<Size>) -> Self {
        RandomCrop { size: size.into(), padding: 0, fill: 0.0 }
    }

    /// Pixels that are put on every side before (0).
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// What the padding is filled with, from 0 (black) to 1 (white).
    pub fn fill(mut self, fill: f32) -> Self {
        self.fill = fill;
        self
    }
}

impl Transform for RandomCrop {
    fn output(&self, input: &Field) -> Result<Field> {
        let [_, height, width] = image_field("RandomCrop", input)?;
        if self.size.height > height + 2 * self.padding || self.size.width > width + 2 * self.padding {
            let detail = format!(
                "an image of {height}×{width} with {} pixels on every side is smaller than the crop of {}×{}",
                self.padding, self.size.height, self.size.width
            );
            return Err(Error::shape("RandomCrop", detail));
        }
        Ok(resized(input, self.size))
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let image = image_shape("RandomCrop", array.shape())?;
        let mut start = |old: usize, new: usize| {
            let places = (old + 2 * self.padding).saturating_sub(new) + 1;
            scratch.random.below(places) as isize - self.padding as isize
        };
        let (top, left) = (start(image[1], self.size.height), start(image[2], self.size.width));
        cut(array, scratch, Rectangle { image, top, left, size: self.size, fill: self.fill })
    }
}

/// Turns pixels round in place.
fn flip<P: Pixel>(pixels: &mut [P], width: usize, unit: usize) {
    // Rows are turned round pixel by pixel (unit 1), planes row by row (unit of a row).
    for part in pixels.chunks_exact_mut(width * unit) {
        for i in 0..width / 2 {
            let (head, tail) = part.split_at_mut((width - 1 - i) * unit);
            head[i * unit..][..unit].swap_with_slice(&mut tail[..unit]);
        }
    }
}

macro_rules! random_flip {
    ($(#[$meta:meta])* $name:ident, $text:literal, |$image:ident| $sizes:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            probability: f64,
        }

        impl $name {
            /// With probability ½.
            pub fn new() -> Self {
                $name { probability: 0.5 }
            }

            /// With this probability.
            ///
            /// # Panics
            /// Unless it is from 0 to 1.
            #[track_caller]
            pub fn with(probability: f64) -> Self {
                assert!((0.0..=1.0).contains(&probability), concat!($text, ": probability {} is not from 0 to 1"), probability);
                $name { probability }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Transform for $name {
            fn output(&self, input: &Field) -> Result<Field> {
                image_field($text, input)?;
                Ok(input.clone())
            }

            fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
                let $image = image_shape($text, array.shape())?;
                if array.is_empty() || !scratch.random.chance(self.probability) {
                    return Ok(());
                }
                let (count, unit) = $sizes;
                if let Some(pixels) = array.as_mut_slice::<u8>() {
                    flip(pixels, count, unit);
                } else if let Some(pixels) = array.as_mut_slice::<f32>() {
                    flip(pixels, count, unit);
                }
                Ok(())
            }
        }
    };
}

random_flip!(
    /// Left and right exchanged, at random: `torchvision.transforms.RandomHorizontalFlip`.
    RandomHorizontalFlip, "RandomHorizontalFlip", |image| (image[2], 1)
);
random_flip!(
    /// Top and bottom exchanged, at random: `torchvision.transforms.RandomVerticalFlip`.
    RandomVerticalFlip, "RandomVerticalFlip", |image| (image[1], image[2])
);

/// Another size, by bilinear interpolation that takes all pixels into account where it shrinks:
/// `torchvision.transforms.Resize` with its defaults.
#[derive(Clone, Copy, Debug)]
pub struct Resize {
    size: Target,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Exact(Size),
    Shorter(usize),
}

impl Resize {
    /// To this height and width, whatever becomes of the proportions.
    pub fn new(size: impl Into<Size>) -> Self {
        Resize { size: Target::Exact(size.into()) }
    }

    /// The shorter side gets this length; the proportions stay. What torchvision does with a single number.
    pub fn shorter(side: usize) -> Self {
        Resize { size: Target::Shorter(side) }
    }

    fn size(&self, [_, height, width]: [usize; 3]) -> Size {
        match self.size {
            Target::Exact(size) => size,
            Target::Shorter(side) if height <= width => Size { height: side, width: side * width / height.max(1) },
            Target::Shorter(side) => Size { height: side * height / width.max(1), width: side },
        }
    }
}

impl Transform for Resize {
    fn output(&self, input: &Field) -> Result<Field> {
        let image = image_field("Resize", input)?;
        let size = self.size(image);
        if image.contains(&0) || size.height == 0 || size.width == 0 {
            let detail = format!("an image of shape {image:?} can't become {}×{}", size.height, size.width);
            return Err(Error::shape("Resize", detail));
        }
        Ok(resized(input, size))
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let image = image_shape("Resize", array.shape())?;
        let size = self.size(image);
        if (size.height, size.width) == (image[1], image[2]) {
            return Ok(());
        }
        let shape = [image[0], size.height, size.width];
        scratch.remake(array, &shape, &Resample { image, size })
    }
}

/// Which old pixels, from the first on, make a new one, and with which weights, which add up to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The triangle filter of a side: as wide as a new pixel where the image shrinks, as an old one where it grows.
fn taps(old: usize, new: usize) -> Vec<Taps> {
    let step = old as f64 / new as f64;
    let reach = step.max(1.0);
    let one = |i: usize| {
        let middle = (i as f64 + 0.5) * step;
        let first = (middle - reach + 0.5).floor().max(0.0) as usize;
        let end = ((middle + reach + 0.5).floor() as usize).min(old);
        let weight = |x: usize| (1.0 - ((x as f64 + 0.5 - middle) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        Taps { first, weights: (first..end).map(|x| (weight(x) / sum) as f32).collect() }
    };
    (0..new).map(one).collect()
}

struct Resample {
    image: [usize; 3],
    size: Size,
}

impl Remake for Resample {
    /// Rows first, then columns; bytes are rounded once, at the end.
    fn run<P: Pixel>(&self, old: &[P], new: &mut [P]) {
        let ([_, height, width], Size { height: rows, width: columns }) = (self.image, self.size);
        let (across, down) = (taps(width, columns), taps(height, rows));
        let mut narrow = vec![0.0f32; height * columns];
        for (old, new) in old.chunks_exact(height * width).zip(new.chunks_exact_mut(rows * columns)) {
            for (old, row) in old.chunks_exact(width).zip(narrow.chunks_exact_mut(columns)) {
                for (to, tap) in row.iter_mut().zip(&across) {
                    let pixels = old[tap.first..].iter().map(|&p| p.into());
                    *to = pixels.zip(&tap.weights).map(|(p, w): (f32, _)| p * w).sum();
                }
            }
            for (row, tap) in new.chunks_exact_mut(columns).zip(&down) {
                for (x, to) in row.iter_mut().enumerate() {
                    let pixels = narrow[tap.first * columns + x..].iter().step_by(columns);
                    *to = P::round(pixels.zip(&tap.weights).map(|(p, w)| p * w).sum());
                }
            }
        }
    }
}
