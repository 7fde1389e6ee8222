//! `take`, of all elements counted row by row, and `take_along_dim`, which broadcasts what `gather` wants in one shape.
//!
//! <https://pytorch.org/docs/stable/generated/torch.take.html>,
//! <https://pytorch.org/docs/stable/generated/torch.take_along_dim.html>

use super::positions::positions;
use crate::ops::methods;
use crate::tensor::Tensor;
use crate::tensor::shape::{broadcast, dim_index};
use crate::{Error, Result, tensor::Shape};

/// A shape with another size in one dim.
fn with_size(shape: &[usize], d: usize, size: usize) -> Shape {
    let mut shape: Shape = shape.into();
    shape[d] = size;
    shape
}

fn along(x: &Tensor, index: &Tensor, dim: i64) -> Result<Tensor> {
    const OP: &str = "take_along_dim";
    if x.dim() != index.dim() {
        let detail = format!("shapes {:?} and {:?} have not equally many dims", x.shape(), index.shape());
        return Err(Error::shape(OP, detail));
    }
    let d = dim_index(OP, dim, x.dim())?;
    if x.dim() == 0 {
        return x.try_gather(dim, index);
    }
    let (size, count) = (x.shape()[d], index.shape()[d]);
    let shape = broadcast(OP, &with_size(x.shape(), d, 1), &with_size(index.shape(), d, 1))?;
    x.try_expand(&with_size(&shape, d, size))?.try_gather(dim, &index.try_expand(&with_size(&shape, d, count))?)
}

methods! {
    /// The elements that the i32 index names, counted row by row, in the shape of the index. An index below 0 counts from the end.
    ///
    /// An index outside is found on the device, as [`Self::gather`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(x.take(&Tensor::from_slice(&[3, 0, -2], &[3])).to_vec::<f32>()?, [4.0, 1.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn take / try_take (&self, index: &Tensor) -> Tensor {
        let flat = self.try_ravel()?;
        let places = positions(&[index], &[flat.numel()])?;
        flat.try_index_select(0, &places.try_ravel()?)?.try_reshape(index.shape())
    }

    /// [`Self::gather`] with tensor and index broadcast in all dims but `dim`; without a dim, of all elements row by row.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 9.0, 8.0, 7.0], &[2, 3]);
    /// let order = x.argsort(1, false);
    /// assert_eq!(x.take_along_dim(&order, Some(1)).to_vec::<f32>()?, [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn take_along_dim / try_take_along_dim (&self, index: &Tensor, dim: Option<i64>) -> Tensor {
        match dim {
            Some(dim) => along(self, index, dim),
            None => self.try_ravel()?.try_gather(0, &index.try_ravel()?),
        }
    }
}
