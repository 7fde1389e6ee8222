//! Images side by side, with captions.

use std::path::Path;

use plotters::prelude::*;

use super::text::{At, fitting, width, write};
use super::{Area, Drawn, SMALL, TITLE, save_with};
use crate::tensor::Tensor;
use crate::{Error, Result, no_grad};

const LINE: u32 = 15;
/// Pixels that a small image is enlarged to, about.
const IMAGE: u32 = 84;
/// Pixels of a caption at most, where the image is not wider.
const MOST_CAPTION: u32 = 130;
/// Pixels of a row at most.
const MOST_ROW: u32 = 960;
/// Images of [`misclassified`] at most.
const MOST_WRONG: usize = 48;

/// Draws images with captions to an SVG file; a caption may have several lines.
///
/// Images are `[n, h, w]`, `[n, 1, h, w]` or `[n, 3, h, w]`, with values from 0 to 1. Small ones are enlarged.
///
/// ```
/// use lumigrad::prelude::*;
/// # let dir = std::env::temp_dir().join("lumigrad-sheet-doc");
/// # let path = dir.join("sheet.svg");
/// let images = Tensor::rand(&[2, 3, 8, 8]);
/// lumigrad::plot::image_sheet(&images, &["noise", "more noise"], &path)?;
/// # assert!(std::fs::read_to_string(&path).unwrap().contains("more noise"));
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// When there are not as many captions as images, the shape is another, the device fails, or the file can't be written.
pub fn image_sheet(images: &Tensor, captions: &[&str], path: impl AsRef<Path>) -> Result<()> {
    let captions: Vec<String> = captions.iter().map(|caption| caption.to_string()).collect();
    Sheet::of("image_sheet", images, captions, String::new())?.save(path.as_ref())
}

/// Draws the images whose predicted class is not the true one, with `true → predicted` below each; at most 48.
///
/// `names` are those of the classes; without any they are numbered.
///
/// # Errors
/// As [`image_sheet`], and when a class has no name.
pub fn misclassified(
    images: &Tensor,
    truth: &[usize],
    predicted: &[usize],
    names: &[&str],
    path: impl AsRef<Path>,
) -> Result<()> {
    const OP: &str = "misclassified";
    let n = images.shape().first().copied().unwrap_or(0);
    if truth.len() != n || predicted.len() != n {
        let detail = format!("{n} images, {} true and {} predicted classes", truth.len(), predicted.len());
        return Err(Error::argument(OP, detail));
    }
    let name = |class: usize| match names.get(class) {
        Some(name) => Ok(name.to_string()),
        None if names.is_empty() => Ok(class.to_string()),
        None => Err(Error::argument(OP, format!("the class {class} has no name; there are {}", names.len()))),
    };
    let wrong: Vec<usize> = (0..n).filter(|&i| truth[i] != predicted[i]).collect();
    let shown = &wrong[..wrong.len().min(MOST_WRONG)];
    let pairs: Vec<(String, String)> =
        shown.iter().map(|&i| Ok((name(truth[i])?, name(predicted[i])?))).collect::<Result<_>>()?;
    let fit = pairs.iter().all(|(truth, other)| width(&format!("{truth} → {other}"), SMALL) <= IMAGE);
    let between = if fit { " → " } else { "\n→ " };
    let captions = pairs.iter().map(|(truth, other)| format!("{truth}{between}{other}")).collect();
    let title = match (wrong.len(), shown.len()) {
        (0, _) => format!("none of {n} images misclassified"),
        (all, some) if all == some => format!("{all} of {n} images misclassified: true → predicted"),
        (all, some) => format!("{some} of {all} misclassified images, of {n}: true → predicted"),
    };
    let index: Vec<i32> = shown.iter().map(|&i| i as i32).collect();
    let index = Tensor::try_from_slice_on(&index, &[index.len()], images.device())?;
    let picked = no_grad(|| images.try_index_select(0, &index))?;
    Sheet::of(OP, &picked, captions, title)?.save(path.as_ref())
}

/// Images, and where they go.
struct Sheet {
    title: String,
    captions: Vec<Vec<String>>,
    /// Red, green and blue of each pixel of each image, enlarged.
    pixels: Vec<Vec<u8>>,
    /// Size of an enlarged image.
    image: (u32, u32),
    cell: (u32, u32),
    columns: u32,
}

impl Sheet {
    fn of(op: &'static str, images: &Tensor, captions: Vec<String>, title: String) -> Result<Self> {
        let (n, channels, h, w) = match *images.shape() {
            [n, h, w] => (n, 1, h, w),
            [n, c @ (1 | 3), h, w] => (n, c, h, w),
            _ => {
                let detail = format!("expected images [n, h, w] or [n, 1 or 3, h, w], not {:?}", images.shape());
                return Err(Error::shape(op, detail));
            }
        };
        if captions.len() != n {
            return Err(Error::argument(op, format!("{} captions for {n} images", captions.len())));
        }
        let scale = (IMAGE as usize / h.max(w).max(1)).max(1);
        let image = ((w * scale) as u32, (h * scale) as u32);
        let longest = captions.iter().flat_map(|c| c.lines()).map(|line| width(line, SMALL)).max().unwrap_or(0);
        let room = image.0.max(longest.min(MOST_CAPTION));
        let lines = captions.iter().map(|c| c.lines().count()).max().unwrap_or(0) as u32;
        let cut = |c: &String| c.lines().map(|line| fitting(line, SMALL, room)).collect();
        let cell = (room + 14, image.1 + 10 + lines * LINE + 6);
        // Rather wide than high.
        let columns =
            ((n as f64 * 1.6).sqrt().ceil() as u32).clamp(1, (MOST_ROW / cell.0).max(1)).min((n as u32).max(1));
        let values = images.to_vec::<f32>()?;
        let one = channels * h * w;
        let pixels = (0..n).map(|i| enlarged(&values[i * one..(i + 1) * one], (h, w), channels, scale)).collect();
        Ok(Sheet { title, captions: captions.iter().map(cut).collect(), pixels, image, cell, columns })
    }

    fn top(&self) -> u32 {
        if self.title.is_empty() { 8 } else { 36 }
    }

    fn save(self, path: &Path) -> Result<()> {
        let rows = (self.captions.len() as u32).div_ceil(self.columns);
        let least = if self.title.is_empty() { 40 } else { width(&self.title, TITLE) + 24 };
        let size = ((self.columns * self.cell.0 + 8).max(least), self.top() + rows * self.cell.1 + 4);
        let mut images = String::new();
        for (i, pixels) in (0..).zip(self.pixels.iter().filter(|pixels| !pixels.is_empty())) {
            let (x, y) = self.corner(i, size.0);
            let at = (x + (self.cell.0 - self.image.0) / 2, y);
            let element = element(at, self.image, pixels);
            images += &element.map_err(|e| Error::format(path, format!("can't be drawn: {e}")))?;
        }
        save_with(path, size, &images, |root| self.draw(root, size.0))
    }

    /// Where the cell of an image begins.
    fn corner(&self, i: u32, wide: u32) -> (u32, u32) {
        let left = (wide - self.columns * self.cell.0) / 2;
        (left + i % self.columns * self.cell.0, self.top() + i / self.columns * self.cell.1)
    }

    fn draw(&self, area: &Area<'_>, wide: u32) -> Drawn {
        write(area, &self.title, (wide as i32 / 2, 18), TITLE, &BLACK, At::Middle)?;
        for (i, caption) in (0..).zip(&self.captions) {
            let (x, y) = self.corner(i, wide);
            for (line, text) in (0u32..).zip(caption) {
                let middle = ((x + self.cell.0 / 2) as i32, (y + self.image.1 + 10 + line * LINE) as i32);
                write(area, text, middle, SMALL, &BLACK, At::Middle)?;
            }
        }
        Ok(())
    }
}

/// An image as an element of SVG, with its pixels in it as a PNG file.
fn element((x, y): (u32, u32), (w, h): (u32, u32), pixels: &[u8]) -> std::result::Result<String, png::EncodingError> {
    let data = base64(&crate::io::encode_png((w, h), png::ColorType::Rgb, pixels)?);
    Ok(format!("<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" href=\"data:image/png;base64,{data}\"/>\n"))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let used = digit <= group.len();
            text.push(if used { DIGITS[(bits >> (18 - 6 * digit)) as usize & 63] as char } else { '=' });
        }
    }
    text
}

/// Bytes of an enlarged image, red, green and blue for each pixel, from its planes.
fn enlarged(planes: &[f32], (h, w): (usize, usize), channels: usize, scale: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(h * w * scale * scale * 3);
    for y in 0..h * scale {
        for x in 0..w * scale {
            let at = y / scale * w + x / scale;
            // NaN becomes 0.
            let byte =
                |channel: usize| (planes[(channel % channels) * h * w + at].clamp(0.0, 1.0) * 255.0).round() as u8;
            bytes.extend([byte(0), byte(1), byte(2)]);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{ff}", "w78=")];
        for (plain, expected) in cases {
            assert_eq!(base64(plain.as_bytes()), expected);
        }
    }

    #[test]
    fn pixels_are_repeated() {
        assert_eq!(enlarged(&[0.0, 1.0], (1, 2), 1, 1), [0, 0, 0, 255, 255, 255]);
        let red_then_blue = [1.0, 0.0, 0.0, 0.0, 0.0, f32::NAN];
        assert_eq!(enlarged(&red_then_blue, (1, 2), 3, 2)[..12], [255, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(enlarged(&[0.5; 4], (2, 2), 1, 3).len(), 6 * 6 * 3);
    }
}
