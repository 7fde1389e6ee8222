//! Pictures as PNG.

use super::proto::Image;
use crate::data::{HostArray, HostData};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Pixels for [`SummaryWriter::add_image`](super::SummaryWriter::add_image), of a tensor or of an array of the host: floats
/// from 0 to 1, or whole numbers from 0 to 255. What lies outside is cut off.
pub struct Picture {
    shape: Vec<usize>,
    bytes: Result<Vec<u8>>,
}

/// PyTorch's `(x * 255).clip(0, 255).astype(uint8)`, in f32.
fn of_float(value: f32) -> u8 {
    (value * 255.0).clamp(0.0, 255.0) as u8
}

fn of_int(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

impl From<&Tensor> for Picture {
    fn from(tensor: &Tensor) -> Self {
        let bytes = match tensor.dtype().is_float() {
            true => tensor.to_vec().map(|all| all.into_iter().map(of_float).collect()),
            false => tensor.to_vec().map(|all| all.into_iter().map(of_int).collect()),
        };
        Picture { shape: tensor.shape().to_vec(), bytes }
    }
}

impl From<Tensor> for Picture {
    fn from(tensor: Tensor) -> Self {
        Picture::from(&tensor)
    }
}

impl From<&HostArray> for Picture {
    fn from(array: &HostArray) -> Self {
        let bytes = match array.data() {
            HostData::U8(all) => all.clone(),
            HostData::F32(all) => all.iter().copied().map(of_float).collect(),
            HostData::I32(all) => all.iter().copied().map(of_int).collect(),
        };
        Picture { shape: array.shape().to_vec(), bytes: Ok(bytes) }
    }
}

impl Picture {
    /// One picture, `[channels, height, width]` or `[height, width]`.
    pub(super) fn single(self, op: &'static str) -> Result<Image> {
        match self.shape[..] {
            [h, w] => self.grid(op, [1, 1, h, w]),
            [c, h, w] => self.grid(op, [1, c, h, w]),
            _ => Err(Error::shape(op, format!("{:?} given, expected [channels, height, width]", self.shape))),
        }
    }

    /// Pictures `[n, channels, height, width]` beside each other, eight in a row.
    pub(super) fn sheet(self, op: &'static str) -> Result<Image> {
        match self.shape[..] {
            [n, c, h, w] => self.grid(op, [n, c, h, w]),
            _ => Err(Error::shape(op, format!("{:?} given, expected [n, channels, height, width]", self.shape))),
        }
    }

    fn grid(self, op: &'static str, [n, c, h, w]: [usize; 4]) -> Result<Image> {
        let (color, channels) = match c {
            1 | 3 => (png::ColorType::Rgb, 3),
            4 => (png::ColorType::Rgba, 4),
            _ => return Err(Error::shape(op, format!("{c} channels given, expected 1, 3 or 4"))),
        };
        if n * h * w == 0 {
            return Err(Error::shape(op, format!("{:?} has no pixel", self.shape)));
        }
        let bytes = self.bytes?;
        let columns = n.min(8);
        let (height, width) = (n.div_ceil(columns) * h, columns * w);
        let mut pixels = vec![0; height * width * channels];
        for (i, picture) in bytes.chunks_exact(c * h * w).enumerate() {
            let (top, left) = (i / columns * h, i % columns * w);
            for (y, x, channel) in (0..h * w * channels).map(|k| (k / channels / w, k / channels % w, k % channels)) {
                let from = (channel % c * h + y) * w + x;
                pixels[((top + y) * width + left + x) * channels + channel] = picture[from];
            }
        }
        let encoded = crate::io::encode_png((width as u32, height as u32), color, &pixels);
        let encoded = encoded.map_err(|e| Error::argument(op, e.to_string()))?;
        Ok(Image { height: height as i32, width: width as i32, colorspace: channels as i32, encoded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(image: &Image) -> Vec<u8> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&image.encoded)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((info.height as i32, info.width as i32), (image.height, image.width));
        bytes
    }

    #[test]
    fn values_are_cut_off_and_grey_becomes_rgb() {
        let grey = HostArray::new(&[1, 1, 4], vec![-0.5f32, 0.0, 0.999, 7.0]);
        let image = Picture::from(&grey).single("add_image").unwrap();
        assert_eq!((image.height, image.width, image.colorspace), (1, 4, 3));
        assert_eq!(pixels(&image), [0, 0, 0, 0, 0, 0, 254, 254, 254, 255, 255, 255]);
        let bytes = HostArray::new(&[3, 1, 2], vec![1u8, 2, 3, 4, 5, 6]);
        assert_eq!(pixels(&Picture::from(&bytes).single("add_image").unwrap()), [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn a_sheet_has_eight_columns() {
        let numbers = HostArray::new(&[9, 1, 1, 1], (1..=9).collect::<Vec<i32>>());
        let image = Picture::from(&numbers).sheet("add_images").unwrap();
        assert_eq!((image.height, image.width), (2, 8));
        let reds: Vec<u8> = pixels(&image).chunks(3).map(|rgb| rgb[0]).collect();
        assert_eq!(reds, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn other_shapes_are_refused() {
        let given = |shape: &[usize]| Picture::from(&HostArray::zeros(shape, crate::data::Kind::U8));
        for shape in [&[2, 4, 4][..], &[4], &[3, 0, 4]] {
            assert!(given(shape).single("add_image").is_err(), "{shape:?}");
        }
        assert!(given(&[3, 4, 4]).sheet("add_images").is_err());
    }
}
