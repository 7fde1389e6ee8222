//! Indexing as in Python: `x.i((0, 1..3, Ellipsis, &index))`, composed of views, `positions` and `index_select`.
//!
//! Numbers, ranges and new axes give a view. What tensors and lists name is then picked from it: their dims are brought
//! together, their indices become one, and the result has the indices' broadcast shape in the place of these dims, or in front
//! if they do not lie side by side.
//!
//! <https://pytorch.org/docs/stable/tensor_view.html>, <https://numpy.org/doc/stable/user/basics.indexing.html>

use super::positions::positions;
use crate::dtype::DType;
use crate::ops::methods;
use crate::tensor::index::{Index, IntoIndex, Slice};
use crate::tensor::shape::{broadcast, numel};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

pub(super) const OP: &str = "index";

/// An index taken apart: a view, and what picks from it.
pub(super) struct Plan {
    /// What numbers, ranges and new axes leave, with the dims that are picked from side by side.
    pub view: Tensor,
    /// The first of these dims, and their sizes; none when the view is the result.
    pub first: usize,
    pub sizes: Shape,
    /// The broadcast shape of the indices, and the indices as one.
    pub shape: Shape,
    picks: Vec<Tensor>,
}

/// The dims that an index takes up.
fn dims_of(index: &Index) -> usize {
    match index {
        Index::At(_) | Index::Slice(_) | Index::List(_) => 1,
        Index::Tensor(t) if t.dtype() == DType::Bool => t.dim(),
        Index::Tensor(_) => 1,
        Index::Ellipsis | Index::NewAxis => 0,
    }
}

/// The index with every dim named: the ellipsis, or the end, stands for all that are not.
fn complete(index: Vec<Index>, x: &Tensor) -> Result<Vec<Index>> {
    let named: usize = index.iter().map(dims_of).sum();
    let ellipses = index.iter().filter(|i| matches!(i, Index::Ellipsis)).count();
    if ellipses > 1 {
        return Err(Error::argument(OP, "holds more than one ellipsis"));
    }
    let Some(left) = x.dim().checked_sub(named) else {
        let detail = format!("names {named} dims, the shape {:?} has {}", x.shape(), x.dim());
        return Err(Error::argument(OP, detail));
    };
    let place = index.iter().position(|i| matches!(i, Index::Ellipsis)).unwrap_or(index.len());
    let whole = Index::Slice(Slice { start: None, end: None, step: 1 });
    let mut all = index;
    all.splice(place..(place + ellipses), std::iter::repeat_n(whole, left));
    Ok(all)
}

/// A list of numbers as an index tensor that needs no more checks.
fn listed(list: &[i64], size: usize, x: &Tensor) -> Result<Tensor> {
    let n = size as i64;
    if let Some(bad) = list.iter().find(|&&i| !(-n..n).contains(&i)) {
        return Err(Error::argument(OP, format!("{bad} is out of range for a dim of {size} elements")));
    }
    let wrapped: Vec<i32> = list.iter().map(|i| i.rem_euclid(n) as i32).collect();
    Tensor::try_from_slice_on(&wrapped, &[wrapped.len()], x.device())
}

/// The coordinates of a mask's true elements, a tensor a dim.
fn of_mask(mask: &Tensor, view: &Tensor, d: usize) -> Result<Vec<Tensor>> {
    let covered = &view.shape()[d..d + mask.dim()];
    if mask.dim() == 0 || mask.shape() != covered {
        let detail = format!("a mask of shape {:?} does not fit the dims {covered:?} that it stands for", mask.shape());
        return Err(Error::shape(OP, detail));
    }
    mask.try_nonzero_tuple()
}

/// Takes an index apart. `read_scalars`: 0-d index tensors are read back, so that what they name stays a view.
pub(super) fn plan(x: &Tensor, index: Vec<Index>, read_scalars: bool) -> Result<Plan> {
    let mut view = x.clone();
    let mut picks: Vec<(usize, Tensor)> = Vec::new();
    let mut d = 0;
    for index in complete(index, x)? {
        match index {
            Index::At(i) => view = view.try_select(d as i64, i)?,
            Index::NewAxis => {
                view = view.try_unsqueeze(d as i64)?;
                d += 1;
            }
            Index::Slice(Slice { start: None, end: None, step: 1 }) => d += 1,
            Index::Slice(Slice { start, end, step }) => {
                view = view.try_slice_step(d as i64, start.unwrap_or(0), end.unwrap_or(i64::MAX), step)?;
                d += 1;
            }
            Index::List(list) => {
                picks.push((d, listed(&list, view.shape()[d], x)?));
                d += 1;
            }
            Index::Tensor(mask) if mask.dtype() == DType::Bool => {
                for coordinates in of_mask(&mask, &view, d)? {
                    picks.push((d, coordinates));
                    d += 1;
                }
            }
            Index::Tensor(place) if place.dim() == 0 && place.dtype() == DType::I32 => {
                // As a number would: the dim goes, and plays no part in where the others' result lies.
                if read_scalars {
                    view = view.try_select(d as i64, place.item()?)?;
                } else {
                    let place = positions(&[&place.try_reshape([1])?], &[view.shape()[d]])?;
                    view = view.try_index_select(d as i64, &place)?.try_squeeze_dim(d as i64)?;
                }
            }
            Index::Tensor(tensor) => {
                picks.push((d, tensor));
                d += 1;
            }
            Index::Ellipsis => unreachable!("it was replaced"),
        }
    }
    side_by_side(view, picks)
}

/// Brings the dims that are picked from together: in front, if they do not lie side by side.
fn side_by_side(view: Tensor, picks: Vec<(usize, Tensor)>) -> Result<Plan> {
    let (dims, picks): (Vec<usize>, Vec<Tensor>) = picks.into_iter().unzip();
    let mut shape = Shape::new();
    for pick in &picks {
        super::check_index(OP, pick)?;
        shape = broadcast(OP, &shape, pick.shape())?;
    }
    let apart = dims.windows(2).any(|pair| pair[1] != pair[0] + 1);
    let sizes: Shape = dims.iter().map(|&d| view.shape()[d]).collect();
    let (view, first) = if apart {
        let others = (0..view.dim()).filter(|d| !dims.contains(d));
        let order: Vec<i64> = dims.iter().copied().chain(others).map(|d| d as i64).collect();
        (view.try_permute(&order)?, 0)
    } else {
        (view, dims.first().copied().unwrap_or(0))
    };
    Ok(Plan { view, first, sizes, shape, picks })
}

impl Plan {
    /// Whether the view is the result.
    pub fn is_basic(&self) -> bool {
        self.picks.is_empty()
    }

    /// The view's shape with other dims in the place of those that are picked from.
    pub fn shape_with(&self, middle: &[usize]) -> Shape {
        let shape = self.view.shape();
        let behind = &shape[self.first + self.sizes.len()..];
        shape[..self.first].iter().chain(middle).chain(behind).copied().collect()
    }

    /// The indices as one, in one dim.
    pub fn places(&self) -> Result<Tensor> {
        let picks: Vec<&Tensor> = self.picks.iter().collect();
        positions(&picks, &self.sizes)?.try_ravel()
    }

    /// What is picked.
    fn read(&self) -> Result<Tensor> {
        if self.is_basic() {
            return Ok(self.view.clone());
        }
        let merged = self.view.try_reshape(&self.shape_with(&[numel(&self.sizes)]))?;
        let picked = merged.try_index_select(self.first as i64, &self.places()?)?;
        picked.try_reshape(&self.shape_with(&self.shape))
    }
}

methods! {
    /// A part of the tensor: Python's `x[…]`. The index is a number, a range, a tensor and the like, or a tuple of them, one a dim.
    ///
    /// | PyTorch | lumigrad |
    /// |---|---|
    /// | `x[0]`, `x[-1]` | `x.i(0)`, `x.i(-1)` |
    /// | `x[0, 2]` | `x.i((0, 2))` |
    /// | `x[:, 1]` | `x.i((.., 1))` |
    /// | `x[1:3]`, `x[:-1]`, `x[2:]` | `x.i(1..3)`, `x.i(..-1)`, `x.i(2..)` |
    /// | `x[1:9:2]`, `x[::2]` | `x.i(Slice::step(1..9, 2))`, `x.i(Slice::step(.., 2))` |
    /// | `x[..., 0]` | `x.i((Ellipsis, 0))` |
    /// | `x[:, None]` | `x.i((.., NewAxis))` |
    /// | `x[[0, 2]]` | `x.i([0, 2])` |
    /// | `x[index]`, `x[:, index]` | `x.i(&index)`, `x.i((.., &index))` |
    /// | `x[rows, columns]` | `x.i((&rows, &columns))` |
    /// | `x[x > 0]` | `x.i(&x.gt_scalar(0.0))` |
    /// | `x[0] = value` | [`x.set(0, &value)?`](Tensor::set) |
    /// | `x[mask] = 0` | [`x.set(&mask, 0.0)?`](Tensor::set) |
    /// | `x[index] += value` | [`x.index_put_(&index, &value, true)?`](Tensor::index_put_), where each entry counts |
    /// | `x.index_put((index,), value)` | [`x.index_put(&index, &value, false)`](Tensor::index_put) |
    ///
    /// `..` is one whole dim, [`Ellipsis`](crate::Ellipsis) all that are not named; dims behind the last one named are whole.
    /// Numbers and ranges count from the end below 0; ranges are cut to the dim. Numbers, ranges and new axes give a view.
    ///
    /// Index tensors hold i32 and are broadcast; the result has their shape in the place of the dims that they index, or in front
    /// if those do not lie side by side. A bool tensor stands for as many dims as it has and picks where it is true; their number
    /// is read back, which waits for the device. Gradients of what is picked several times are added up, in a fixed order.
    ///
    /// An index in a tensor that is out of range is found on the device, as [`Self::gather`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 24.0, 1.0).reshape([2, 3, 4]);
    /// assert_eq!(x.i((1, .., -1)).to_vec::<f32>()?, [15.0, 19.0, 23.0]);
    /// assert_eq!(x.i((.., 1..3, NewAxis, ..2)).shape(), [2, 2, 1, 2]);
    /// assert_eq!(x.i((Ellipsis, [0, 0, 3])).shape(), [2, 3, 3]);
    /// let (rows, columns) = (Tensor::from_slice(&[0, 2], &[2]), Tensor::from_slice(&[3, -4], &[2]));
    /// assert_eq!(x.i((0, &rows, &columns)).to_vec::<f32>()?, [3.0, 8.0]);
    /// assert_eq!(x.i(&x.gt_scalar(21.0)).to_vec::<f32>()?, [22.0, 23.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When a number is out of range, there are more than the tensor has dims, or shapes or types do not fit.
    pub fn i / try_i (&self, index: impl IntoIndex) -> Tensor {
        plan(self, index.into_index(), false)?.read()
    }
}
