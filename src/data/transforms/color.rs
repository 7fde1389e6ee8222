//! Brightness, contrast and colours.

use super::{Pixel, Remake, Scratch, Transform, image_field, image_shape};
use crate::data::array::HostArray;
use crate::data::dataset::Field;
use crate::{Error, Result};

/// How much of red, green and blue a grey pixel is made of (ITU-R 601-2).
const LUMA: [f32; 3] = [0.2989, 0.587, 0.114];

/// Red, green and blue to grey, in one channel or in three equal ones: `torchvision.transforms.Grayscale`.
#[derive(Clone, Copy, Debug)]
pub struct Grayscale {
    channels: usize,
}

impl Grayscale {
    /// To this number of channels.
    ///
    /// # Panics
    /// Unless it is 1 or 3.
    #[track_caller]
    pub fn new(channels: usize) -> Self {
        assert!(channels == 1 || channels == 3, "Grayscale: {channels} channels asked for, expected 1 or 3");
        Grayscale { channels }
    }
}

impl Default for Grayscale {
    fn default() -> Self {
        Grayscale::new(1)
    }
}

impl Remake for Grayscale {
    fn run<P: Pixel>(&self, old: &[P], new: &mut [P]) {
        let plane = new.len() / self.channels;
        for (i, to) in new.iter_mut().enumerate() {
            let i = i % plane;
            *to = if old.len() == plane { old[i] } else { P::cut(grey(old, plane, i)) };
        }
    }
}

fn grey<P: Pixel>(pixels: &[P], plane: usize, i: usize) -> f32 {
    (0..3).map(|c| LUMA[c] * pixels[c * plane + i].into()).sum()
}

impl Transform for Grayscale {
    fn output(&self, input: &Field) -> Result<Field> {
        let [channels, height, width] = image_field("Grayscale", input)?;
        one_or_three("Grayscale", channels)?;
        Ok(Field { shape: vec![self.channels, height, width], ..input.clone() })
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let [_, height, width] = image_shape("Grayscale", array.shape())?;
        scratch.remake(array, &[self.channels, height, width], self)
    }
}

fn one_or_three(op: &'static str, channels: usize) -> Result<()> {
    match channels {
        1 | 3 => Ok(()),
        _ => Err(Error::shape(op, format!("an image of {channels} channels, expected 1 or 3"))),
    }
}

/// Brightness, contrast, saturation and hue changed at random, in random order: `torchvision.transforms.ColorJitter`.
/// A grey image has no saturation and no hue to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct ColorJitter {
    brightness: f64,
    contrast: f64,
    saturation: f64,
    hue: f64,
}

impl ColorJitter {
    /// Nothing is changed yet.
    pub fn new() -> Self {
        ColorJitter::default()
    }

    /// By a factor from `1 − amount` (not below 0) to `1 + amount`.
    pub fn brightness(mut self, amount: f64) -> Self {
        self.brightness = amount;
        self
    }

    /// By a factor from `1 − amount` (not below 0) to `1 + amount`.
    pub fn contrast(mut self, amount: f64) -> Self {
        self.contrast = amount;
        self
    }

    /// By a factor from `1 − amount` (not below 0) to `1 + amount`.
    pub fn saturation(mut self, amount: f64) -> Self {
        self.saturation = amount;
        self
    }

    /// Turned by −`amount` to `amount` of the colour circle.
    ///
    /// # Panics
    /// Unless it is from 0 to ½.
    #[track_caller]
    pub fn hue(mut self, amount: f64) -> Self {
        assert!((0.0..=0.5).contains(&amount), "ColorJitter: hue {amount} is not from 0 to 0.5");
        self.hue = amount;
        self
    }
}

/// One of the four changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Adjust {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

impl Transform for ColorJitter {
    fn output(&self, input: &Field) -> Result<Field> {
        let [channels, ..] = image_field("ColorJitter", input)?;
        one_or_three("ColorJitter", channels)?;
        Ok(input.clone())
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let image = image_shape("ColorJitter", array.shape())?;
        let mut order = [0, 1, 2, 3];
        for last in (1..4).rev() {
            order.swap(last, scratch.random.below(last + 1));
        }
        for which in order {
            let amount = [self.brightness, self.contrast, self.saturation, self.hue][which];
            if amount == 0.0 {
                continue;
            }
            let low = if which == 3 { -amount } else { (1.0 - amount).max(0.0) };
            let high = if which == 3 { amount } else { 1.0 + amount };
            let drawn = scratch.random.uniform(low, high) as f32;
            let kinds = [Adjust::Brightness, Adjust::Contrast, Adjust::Saturation, Adjust::Hue];
            adjust(kinds[which](drawn), array, image);
        }
        Ok(())
    }
}

/// Changes an image of one or three channels in place, as torchvision's `functional.adjust_…`.
pub(super) fn adjust(how: Adjust, array: &mut HostArray, image: [usize; 3]) {
    if let Some(pixels) = array.as_mut_slice::<u8>() {
        adjust_pixels(how, pixels, image);
    } else if let Some(pixels) = array.as_mut_slice::<f32>() {
        adjust_pixels(how, pixels, image);
    }
}

fn adjust_pixels<P: Pixel>(how: Adjust, pixels: &mut [P], [channels, height, width]: [usize; 3]) {
    let plane = height * width;
    let blend = |x: P, other: f32, ratio: f32| P::cut((ratio * x.into() + (1.0 - ratio) * other).clamp(0.0, P::WHITE));
    match how {
        Adjust::Brightness(ratio) => pixels.iter_mut().for_each(|x| *x = blend(*x, 0.0, ratio)),
        Adjust::Contrast(ratio) => {
            // Grey values of bytes are bytes.
            let level = |i: usize| if channels == 3 { P::cut(grey(pixels, plane, i)).into() } else { pixels[i].into() };
            let mean = ((0..plane).map(|i| f64::from(level(i))).sum::<f64>() / plane.max(1) as f64) as f32;
            pixels.iter_mut().for_each(|x| *x = blend(*x, mean, ratio));
        }
        Adjust::Saturation(ratio) if channels == 3 => {
            for i in 0..plane {
                let grey = P::cut(grey(pixels, plane, i)).into();
                (0..3).for_each(|c| pixels[c * plane + i] = blend(pixels[c * plane + i], grey, ratio));
            }
        }
        Adjust::Hue(turn) if channels == 3 => {
            for i in 0..plane {
                let rgb = [0, 1, 2].map(|c| pixels[c * plane + i].into() / P::WHITE);
                let turned = turn_hue(rgb, turn);
                (0..3).for_each(|c| pixels[c * plane + i] = to_pixel(turned[c]));
            }
        }
        Adjust::Saturation(_) | Adjust::Hue(_) => {}
    }
}

/// A share of white; torchvision makes bytes of it by a factor just below 256.
fn to_pixel<P: Pixel>(share: f32) -> P {
    let factor = if P::WHITE == 1.0 { 1.0 } else { P::WHITE + 1.0 - 1e-3 };
    P::cut(share * factor)
}

/// Turns a colour by a share of the circle, by way of hue, saturation and value.
fn turn_hue([r, g, b]: [f32; 3], turn: f32) -> [f32; 3] {
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let range = high - low;
    if range == 0.0 {
        return [r, g, b];
    }
    let saturation = range / high;
    let [rc, gc, bc] = [r, g, b].map(|x| (high - x) / range);
    let sixth = if high == r {
        bc - gc
    } else if high == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    let hue = ((sixth / 6.0).rem_euclid(1.0) + turn).rem_euclid(1.0);
    let (sector, rest) = ((hue * 6.0).floor(), (hue * 6.0).fract());
    let p = (high * (1.0 - saturation)).clamp(0.0, 1.0);
    let q = (high * (1.0 - saturation * rest)).clamp(0.0, 1.0);
    let t = (high * (1.0 - saturation * (1.0 - rest))).clamp(0.0, 1.0);
    match sector as u32 % 6 {
        0 => [high, t, p],
        1 => [q, high, p],
        2 => [p, high, t],
        3 => [p, q, high],
        4 => [t, p, high],
        _ => [high, p, q],
    }
}
