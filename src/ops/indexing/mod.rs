//! Operations that pick elements by an index tensor, or add to the places that one names.
//!
//! An index outside its dim is found on the device: the result there is NaN (0 for integers), nothing is updated from then
//! on, and the next read returns [`Error::Index`]. Negative indices do not count from the end, as in PyTorch.

pub(crate) mod embedding;
pub(crate) mod gather;
pub(crate) mod index;
pub(crate) mod index_add;
pub(crate) mod index_put;
pub(crate) mod index_select;
pub(crate) mod nonzero;
pub(crate) mod positions;
pub(crate) mod put;
pub(crate) mod scatter_add;
pub(crate) mod scatter_reduce;
mod scatter_twins;
pub(crate) mod take;

use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Refuses an index that holds no i32.
fn check_index(op: &'static str, index: &Tensor) -> Result<()> {
    if index.dtype() == DType::I32 {
        return Ok(());
    }
    let detail = format!("the index must be i32, not {}", index.dtype());
    Err(Error::dtype(op, detail))
}

/// A 0-d tensor as one with a dim of size 1: PyTorch lets both stand for each other here.
fn at_least_1d(x: &Tensor) -> Result<Tensor> {
    if x.dim() == 0 { x.try_unsqueeze(0) } else { Ok(x.clone()) }
}

/// Refuses an index whose sizes, but for dim `d`, are larger than those of what it picks from.
fn check_sizes(op: &'static str, index: &Tensor, x: &Tensor, d: Option<usize>) -> Result<()> {
    let fits = index.dim() == x.dim() && (0..x.dim()).all(|i| Some(i) == d || index.shape()[i] <= x.shape()[i]);
    if fits {
        return Ok(());
    }
    let but = d.map_or(String::new(), |d| format!(", but for dim {d}"));
    let detail = format!("an index of shape {:?} does not fit into the shape {:?}{but}", index.shape(), x.shape());
    Err(Error::shape(op, detail))
}
