//! Images turned, shifted, scaled and sheared.

use super::{Pixel, Remake, Scratch, Transform, image_field, image_shape};
use crate::Result;
use crate::data::array::HostArray;
use crate::data::dataset::Field;

/// How a pixel between pixels is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel, torchvision's default for turned images.
    #[default]
    Nearest,
    /// Between the four around it.
    Bilinear,
}

/// Turned by a random angle: `torchvision.transforms.RandomRotation`. The size stays; corners are filled.
#[derive(Clone, Copy, Debug)]
pub struct RandomRotation(RandomAffine);

impl RandomRotation {
    /// By −`degrees` to `degrees`, counter-clockwise.
    ///
    /// # Panics
    /// When `degrees` is negative.
    #[track_caller]
    pub fn new(degrees: f64) -> Self {
        RandomRotation(RandomAffine::new(degrees))
    }

    /// How pixels between pixels are made (nearest).
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        RandomRotation(self.0.interpolation(interpolation))
    }

    /// What corners are filled with, from 0 (black) to 1 (white).
    pub fn fill(self, fill: f32) -> Self {
        RandomRotation(self.0.fill(fill))
    }
}

impl Transform for RandomRotation {
    fn output(&self, input: &Field) -> Result<Field> {
        image_field("RandomRotation", input)?;
        Ok(input.clone())
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let angle = -self.0.draw(&mut scratch.random, [0, 0]).angle;
        let motion = Motion { angle, ..Motion::default() };
        self.0.warp("RandomRotation", array, scratch, &motion)
    }
}

/// Turned, shifted, scaled and sheared at random: `torchvision.transforms.RandomAffine`. The size stays.
#[derive(Clone, Copy, Debug)]
pub struct RandomAffine {
    degrees: f64,
    translate: (f64, f64),
    scale: (f64, f64),
    shear: f64,
    interpolation: Interpolation,
    fill: f32,
}

impl RandomAffine {
    /// Turned clockwise by −`degrees` to `degrees`.
    ///
    /// # Panics
    /// When `degrees` is negative.
    #[track_caller]
    pub fn new(degrees: f64) -> Self {
        assert!(degrees >= 0.0, "RandomAffine: {degrees} degrees given, expected a number that is not negative");
        let interpolation = Interpolation::default();
        RandomAffine { degrees, translate: (0.0, 0.0), scale: (1.0, 1.0), shear: 0.0, interpolation, fill: 0.0 }
    }

    /// Shifted by whole pixels, up to this share of width and of height in either direction.
    ///
    /// # Panics
    /// Unless both are from 0 to 1.
    #[track_caller]
    pub fn translate(mut self, width: f64, height: f64) -> Self {
        let valid = [width, height].iter().all(|share| (0.0..=1.0).contains(share));
        assert!(valid, "RandomAffine: shares ({width}, {height}) to shift by, expected numbers from 0 to 1");
        self.translate = (width, height);
        self
    }

    /// Scaled by a factor from `low` to `high`.
    ///
    /// # Panics
    /// Unless 0 < low ≤ high.
    #[track_caller]
    pub fn scale(mut self, low: f64, high: f64) -> Self {
        assert!(0.0 < low && low <= high, "RandomAffine: scale from {low} to {high}, expected 0 < low ≤ high");
        self.scale = (low, high);
        self
    }

    /// Sheared along x by −`degrees` to `degrees`.
    pub fn shear(mut self, degrees: f64) -> Self {
        self.shear = degrees;
        self
    }

    /// How pixels between pixels are made (nearest).
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// What is filled in from outside, from 0 (black) to 1 (white).
    pub fn fill(mut self, fill: f32) -> Self {
        self.fill = fill;
        self
    }

    fn draw(&self, random: &mut super::Random, [height, width]: [usize; 2]) -> Motion {
        let angle = random.uniform(-self.degrees, self.degrees);
        let mut shift = |share: f64, side: usize| match share {
            0.0 => 0.0,
            share => random.uniform(-share * side as f64, share * side as f64).round_ties_even(),
        };
        let translate = (shift(self.translate.0, width), shift(self.translate.1, height));
        let scale = if self.scale == (1.0, 1.0) { 1.0 } else { random.uniform(self.scale.0, self.scale.1) };
        let shear = if self.shear == 0.0 { 0.0 } else { random.uniform(-self.shear, self.shear) };
        Motion { angle, translate, scale, shear }
    }

    fn warp(&self, op: &'static str, array: &mut HostArray, scratch: &mut Scratch, motion: &Motion) -> Result<()> {
        let image = image_shape(op, array.shape())?;
        let matrix = motion.inverse();
        scratch.remake(array, &image, &Warp { image, matrix, interpolation: self.interpolation, fill: self.fill })
    }
}

impl Transform for RandomAffine {
    fn output(&self, input: &Field) -> Result<Field> {
        image_field("RandomAffine", input)?;
        Ok(input.clone())
    }

    fn apply(&self, array: &mut HostArray, scratch: &mut Scratch) -> Result<()> {
        let [_, height, width] = image_shape("RandomAffine", array.shape())?;
        let motion = self.draw(&mut scratch.random, [height, width]);
        self.warp("RandomAffine", array, scratch, &motion)
    }
}

/// One draw: degrees clockwise, pixels to the right and down, a factor, degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Motion {
    pub angle: f64,
    pub translate: (f64, f64),
    pub scale: f64,
    pub shear: f64,
}

impl Default for Motion {
    fn default() -> Self {
        Motion { angle: 0.0, translate: (0.0, 0.0), scale: 1.0, shear: 0.0 }
    }
}

impl Motion {
    /// Where a pixel of the new image comes from, as a 2×3 matrix about the middle: the inverse of
    /// T · R(angle) · Shear · Scale, in torchvision's order.
    pub fn inverse(&self) -> [f64; 6] {
        let (angle, shear) = (self.angle.to_radians(), self.shear.to_radians());
        // R · Shear along x.
        let (a, b) = (angle.cos(), -angle.cos() * shear.tan() - angle.sin());
        let (c, d) = (angle.sin(), -angle.sin() * shear.tan() + angle.cos());
        let [a, b, c, d] = [d, -b, -c, a].map(|x| x / self.scale);
        let (x, y) = self.translate;
        [a, b, -(a * x + b * y), c, d, -(c * x + d * y)]
    }
}

/// Takes each pixel from where the matrix says.
pub(super) struct Warp {
    pub image: [usize; 3],
    pub matrix: [f64; 6],
    pub interpolation: Interpolation,
    /// As a share of white.
    pub fill: f32,
}

impl Warp {
    /// A plane's pixel, or the fill outside.
    fn pixel<P: Pixel>(&self, plane: &[P], x: f64, y: f64) -> f32 {
        let [_, height, width] = self.image;
        if x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64 {
            plane[y as usize * width + x as usize].into()
        } else {
            self.fill * P::WHITE
        }
    }
}

impl Remake for Warp {
    fn run<P: Pixel>(&self, old: &[P], new: &mut [P]) {
        let [_, height, width] = self.image;
        if height * width == 0 {
            return;
        }
        let [a, b, tx, c, d, ty] = self.matrix;
        let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
        for (old, new) in old.chunks_exact(height * width).zip(new.chunks_exact_mut(height * width)) {
            for (i, to) in new.iter_mut().enumerate() {
                let (x, y) = ((i % width) as f64 - middle[0], (i / width) as f64 - middle[1]);
                let (x, y) = (a * x + b * y + tx + middle[0], c * x + d * y + ty + middle[1]);
                *to = match self.interpolation {
                    Interpolation::Nearest => P::round(self.pixel(old, x.round_ties_even(), y.round_ties_even())),
                    Interpolation::Bilinear => {
                        let (left, top) = (x.floor(), y.floor());
                        let (right, down) = ((x - left) as f32, (y - top) as f32);
                        let at = |dx: f64, dy: f64| self.pixel(old, left + dx, top + dy);
                        let upper = at(0.0, 0.0) * (1.0 - right) + at(1.0, 0.0) * right;
                        let lower = at(0.0, 1.0) * (1.0 - right) + at(1.0, 1.0) * right;
                        P::round(upper * (1.0 - down) + lower * down)
                    }
                };
            }
        }
    }
}
