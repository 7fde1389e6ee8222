//! `pixel_shuffle` and `pixel_unshuffle`: channels become pixels and back. Views and a copy.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.pixel_shuffle.html>

use super::methods;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// All dims but the last three, and those.
fn split(op: &'static str, x: &Tensor, factor: usize) -> Result<(Vec<usize>, [usize; 3])> {
    let shape = x.shape();
    if shape.len() < 3 || factor == 0 {
        let detail = format!("takes […, C, H, W] and a factor of at least 1, not {shape:?} and {factor}");
        return Err(Error::shape(op, detail));
    }
    let (batch, planes) = shape.split_at(shape.len() - 3);
    Ok((batch.to_vec(), [planes[0], planes[1], planes[2]]))
}

/// The dims of the batch, then these, counted from the first one behind it.
fn order(batch: usize, dims: [usize; 5]) -> Vec<i64> {
    (0..batch).chain(dims.map(|d| batch + d)).map(|d| d as i64).collect()
}

methods! {
    /// `[…, C·r², H, W]` as `[…, C, H·r, W·r]`: every r² channels become r×r pixels.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[4, 1, 1]);
    /// let y = x.pixel_shuffle(2);
    /// assert_eq!(y.shape(), [1, 2, 2]);
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there are fewer than 3 dims, or r² does not divide the channels.
    pub fn pixel_shuffle / try_pixel_shuffle (&self, upscale_factor: usize) -> Tensor {
        const OP: &str = "pixel_shuffle";
        let r = upscale_factor;
        let (batch, [channels, h, w]) = split(OP, self, r)?;
        if !channels.is_multiple_of(r * r) {
            let detail = format!("{channels} channels can't be divided into groups of {r}×{r}");
            return Err(Error::shape(OP, detail));
        }
        let c = channels / (r * r);
        let parts = [&batch[..], &[c, r, r, h, w]].concat();
        let joined = [&batch[..], &[c, h * r, w * r]].concat();
        self.try_reshape(parts)?.try_permute(&order(batch.len(), [0, 3, 1, 4, 2]))?.try_reshape(joined)
    }

    /// `[…, C, H·r, W·r]` as `[…, C·r², H, W]`: the inverse of [`Self::pixel_shuffle`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::rand(&[2, 3, 4, 6]);
    /// let y = x.pixel_unshuffle(2);
    /// assert_eq!(y.shape(), [2, 12, 2, 3]);
    /// assert_eq!(y.pixel_shuffle(2).to_vec::<f32>()?, x.to_vec::<f32>()?);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there are fewer than 3 dims, or r does not divide rows and columns.
    pub fn pixel_unshuffle / try_pixel_unshuffle (&self, downscale_factor: usize) -> Tensor {
        const OP: &str = "pixel_unshuffle";
        let r = downscale_factor;
        let (batch, [c, rows, columns]) = split(OP, self, r)?;
        if !rows.is_multiple_of(r) || !columns.is_multiple_of(r) {
            let detail = format!("{rows} rows and {columns} columns can't be divided by {r}");
            return Err(Error::shape(OP, detail));
        }
        let (h, w) = (rows / r, columns / r);
        let parts = [&batch[..], &[c, h, r, w, r]].concat();
        let joined = [&batch[..], &[c * r * r, h, w]].concat();
        self.try_reshape(parts)?.try_permute(&order(batch.len(), [0, 2, 4, 1, 3]))?.try_reshape(joined)
    }
}
