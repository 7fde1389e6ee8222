//! From host arrays to tensors: the one place where data meets a device.

use super::array::{HostArray, HostData};
use super::batch::Batch;
use crate::tensor::Tensor;
use crate::{Device, Result};

impl HostArray {
    /// This array on a device.
    ///
    /// Bytes are pixels and become floats from 0 to 1, as torchvision's `ToTensor` makes them (uploaded as bytes and divided
    /// by 255 on the device; [`Tensor::from_bytes_on`] takes other ranges). Floats become f32 and integers i32, as they are.
    ///
    /// # Errors
    /// When the device has no memory for it, or is lost.
    ///
    /// ```
    /// use lumigrad::{Device, data::HostArray};
    ///
    /// let device = Device::reference();
    /// let pixels = HostArray::new(&[1, 3], vec![0u8, 51, 255]).to_tensor(&device)?;
    /// assert_eq!(pixels.to_vec::<f32>()?, [0.0, 0.2, 1.0]);
    /// let labels = HostArray::new(&[2], vec![7i32, 1]).to_tensor(&device)?;
    /// assert_eq!(labels.dtype(), lumigrad::DType::I32);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        match self.data() {
            HostData::U8(bytes) => Tensor::try_from_bytes_on(bytes, self.shape(), 255.0, 0.0, device),
            HostData::F32(values) => Tensor::try_from_slice_on(values, self.shape(), device),
            HostData::I32(values) => Tensor::try_from_slice_on(values, self.shape(), device),
        }
    }
}

impl Batch {
    /// Every array on a device, in the order of [`Batch::fields`]; see [`HostArray::to_tensor`].
    ///
    /// The batch may be dropped at once: nothing waits for its memory.
    ///
    /// # Errors
    /// When the device has no memory for it, or is lost.
    ///
    /// ```
    /// use lumigrad::Device;
    /// use lumigrad::data::{ArrayDataset, DataLoader, HostArray};
    ///
    /// let (images, labels) = (HostArray::new(&[4, 2], vec![51u8; 8]), HostArray::new(&[4], vec![0i32, 1, 2, 3]));
    /// let loader = DataLoader::new(ArrayDataset::new([("images", images), ("labels", labels)])).batch_size(4);
    /// for batch in &loader {
    ///     let [x, y] = &batch?.to_tensors(&Device::reference())?[..] else { unreachable!("two fields") };
    ///     assert_eq!((x.shape(), y.shape()), (&[4, 2][..], &[4][..]));
    ///     assert_eq!(x.to_vec::<f32>()?, [0.2; 8]);
    /// }
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn to_tensors(&self, device: &Device) -> Result<Vec<Tensor>> {
        self.arrays().iter().map(|array| array.to_tensor(device)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_divided_as_pytorch_divides_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        let want: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
        let got = HostArray::new(&[256], bytes).to_tensor(&Device::reference()).unwrap();
        assert_eq!(got.to_vec::<f32>().unwrap(), want);
        // A product with 1/255 would miss some of them.
        assert!((0..=255u8).any(|b| f32::from(b) / 255.0 != f32::from(b) * (1.0 / 255.0)));
    }

    #[test]
    fn shapes_and_kinds_stay() {
        let device = Device::reference();
        let empty = HostArray::new(&[0, 28, 28], Vec::<u8>::new()).to_tensor(&device).unwrap();
        assert_eq!((empty.shape(), empty.dtype()), (&[0, 28, 28][..], crate::DType::F32));
        let floats = HostArray::new(&[], vec![1.5f32]).to_tensor(&device).unwrap();
        assert_eq!((floats.dim(), floats.item::<f32>().unwrap()), (0, 1.5));
        let odd = HostArray::new(&[3, 1], vec![255u8, 0, 255]).to_tensor(&device).unwrap();
        assert_eq!(odd.to_vec::<f32>().unwrap(), [1.0, 0.0, 1.0]);
    }
}
