//! Arrangements composed of others: dims exchanged and moved, a tensor taken apart, elements repeated.

use std::borrow::Borrow;

use super::cat::borrowed;
use super::methods;
use super::methods::or_panic;
use crate::dtype::DType;
use crate::engine::fault::CallerScope;
use crate::tensor::shape::{dim_index, dim_indices, numel};
use crate::tensor::{IntoShape, Tensor};
use crate::{Error, Result};

/// Each element of a dim so many times, side by side.
fn interleaved(x: &Tensor, counts: &[i64], dim: i64) -> Result<Tensor> {
    const OP: &str = "repeat_interleave";
    let d = dim_index(OP, dim, x.dim())?;
    let size = x.shape()[d];
    let count = |i: usize| counts[if counts.len() == 1 { 0 } else { i }];
    if counts.len() != 1 && counts.len() != size {
        let detail = format!("{} counts for the {size} elements of dim {dim}", counts.len());
        return Err(Error::shape(OP, detail));
    }
    if let Some(negative) = counts.iter().find(|&&n| n < 0) {
        return Err(Error::argument(OP, format!("a count is {negative}")));
    }
    let index: Vec<i32> = (0..size).flat_map(|i| (0..count(i)).map(move |_| i as i32)).collect();
    x.try_index_select(dim, &Tensor::try_from_slice_on(&index, &[index.len()], x.device())?)
}

methods! {
    /// The dims `source` at the places `destination`; the others keep their order. A view.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::zeros(&[2, 3, 4]).movedim(&[0], &[-1]).shape(), [3, 4, 2]);
    /// ```
    ///
    /// # Panics
    /// When a dim does not exist or is named twice, or there is not one place a dim.
    pub fn movedim / try_movedim (&self, source: &[i64], destination: &[i64]) -> Tensor {
        const OP: &str = "movedim";
        if source.len() != destination.len() {
            let detail = format!("{} dims do not fit {} places", source.len(), destination.len());
            return Err(Error::argument(OP, detail));
        }
        if source.is_empty() {
            return Ok(self.clone());
        }
        // Both refuse dims that are named twice.
        dim_indices(OP, source, self.dim())?;
        dim_indices(OP, destination, self.dim())?;
        let mut order = vec![None; self.dim()];
        let mut rest: Vec<i64> = (0..self.dim() as i64).collect();
        for (&from, &to) in source.iter().zip(destination) {
            let from = dim_index(OP, from, self.dim())? as i64;
            if let Some(place) = order.get_mut(dim_index(OP, to, self.dim())?) {
                *place = Some(from);
            }
            rest.retain(|&d| d != from);
        }
        let mut rest = rest.into_iter();
        let order: Option<Vec<i64>> = order.into_iter().map(|d| d.or_else(|| rest.next())).collect();
        self.try_permute(&order.expect("as many dims as places"))
    }

    /// Two dims exchanged: [`Self::transpose`] under NumPy's name.
    pub fn swapaxes / try_swapaxes (&self, axis0: i64, axis1: i64) -> Tensor {
        self.try_transpose(axis0, axis1)
    }

    /// One dim as several, whose sizes multiply to its own; one of them may be -1.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn unflatten / try_unflatten (&self, dim: i64, sizes: impl IntoShape) -> Tensor {
        let d = dim_index("unflatten", dim, self.dim())?;
        if self.dim() == 0 {
            return Err(Error::shape("unflatten", "a 0-d tensor has no dim to split"));
        }
        let mut sizes = sizes.into_sizes();
        if let Some(unknown) = sizes.iter().position(|&s| s == -1) {
            // The other dims may be empty: then -1 could be anything for `reshape`.
            let known: i64 = sizes.iter().enumerate().filter(|(i, _)| *i != unknown).map(|(_, &s)| s).product();
            if known > 0 {
                sizes[unknown] = self.shape()[d] as i64 / known;
            }
        }
        let all = || self.shape().iter().map(|&s| s as i64);
        if sizes.iter().product::<i64>() != self.shape()[d] as i64 {
            let detail = format!("dim {dim} of shape {:?} can't be split into {sizes:?}", self.shape());
            return Err(Error::shape("unflatten", detail));
        }
        let shape: Vec<i64> = all().take(d).chain(sizes).chain(all().skip(d + 1)).collect();
        self.try_reshape(shape)
    }

    /// All elements in one dim.
    pub fn ravel / try_ravel (&self) -> Tensor {
        self.try_reshape([self.numel()])
    }

    /// [`Self::expand`] to the shape of another tensor.
    pub fn expand_as / try_expand_as (&self, other: &Tensor) -> Tensor {
        self.try_expand(other.shape())
    }

    /// Each element of a dim `repeats` times, side by side; without a dim, of all elements row by row.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.repeat_interleave(2, None).to_vec::<f32>()?, [1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist.
    pub fn repeat_interleave / try_repeat_interleave (&self, repeats: usize, dim: Option<i64>) -> Tensor {
        let Some(dim) = dim.filter(|_| self.dim() > 0) else {
            return self.try_ravel()?.try_repeat_interleave(repeats, Some(0));
        };
        let d = dim_index("repeat_interleave", dim, self.dim())?;
        let mut shape: Vec<usize> = self.shape().to_vec();
        shape.insert(d + 1, repeats);
        let wide = self.try_unsqueeze(d as i64 + 1)?.try_expand(&shape)?;
        shape.remove(d);
        shape[d] = self.shape()[d] * repeats;
        wide.try_reshape(shape)
    }

    /// Element `i` of a dim `counts[i]` times, side by side: PyTorch's `repeat_interleave` with a tensor. Without a dim, of all
    /// elements row by row.
    ///
    /// The shape of the result depends on the counts, so they are read back, which waits for the device.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (x, counts) = (Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]), Tensor::from_slice(&[2, 0, 1], &[3]));
    /// assert_eq!(x.repeat_interleave_counts(&counts, Some(0)).to_vec::<f32>()?, [1.0, 1.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist, the counts are not whole numbers in one dim, are negative, or are not as many as the dim
    /// has elements (or one).
    pub fn repeat_interleave_counts / try_repeat_interleave_counts (&self, counts: &Tensor, dim: Option<i64>) -> Tensor {
        if !matches!(counts.dtype(), DType::I32 | DType::U32) || counts.dim() > 1 {
            let detail = format!("counts are whole numbers in one dim, not {} of shape {:?}", counts.dtype(), counts.shape());
            return Err(Error::argument("repeat_interleave", detail));
        }
        let counts = counts.to_vec::<i64>()?;
        match dim.filter(|_| self.dim() > 0) {
            Some(dim) => interleaved(self, &counts, dim),
            None => interleaved(&self.try_ravel()?, &counts, 0),
        }
    }
}

/// Grids.
impl Tensor {
    /// The coordinates of a grid: for vectors of sizes `n0, n1, …` as many tensors of shape `[n0, n1, …]`, the `i`-th of which
    /// changes along dim `i` only. Views. `indexing` is `"ij"`, PyTorch's default, or `"xy"`, which exchanges the first two
    /// dims.
    ///
    /// # Panics
    /// When a tensor has more than one dim, or `indexing` is neither.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (rows, columns) = (Tensor::arange(0.0, 2.0, 1.0), Tensor::arange(0.0, 3.0, 1.0));
    /// let grid = Tensor::meshgrid(&[&rows, &columns], "ij");
    /// assert_eq!(grid[0].to_vec::<f32>()?, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    /// assert_eq!(grid[1].to_vec::<f32>()?, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn meshgrid(tensors: &[impl Borrow<Tensor>], indexing: &str) -> Vec<Tensor> {
        let _caller = CallerScope::enter();
        or_panic(meshgrid(&borrowed(tensors), indexing))
    }

    /// [`Tensor::meshgrid`], with mistakes as errors.
    ///
    /// # Errors
    /// A mistake in the arguments, or a failure of the device.
    #[track_caller]
    pub fn try_meshgrid(tensors: &[impl Borrow<Tensor>], indexing: &str) -> Result<Vec<Tensor>> {
        let _caller = CallerScope::enter();
        meshgrid(&borrowed(tensors), indexing)?.into_iter().map(Tensor::healthy).collect()
    }
}

fn meshgrid(tensors: &[&Tensor], indexing: &str) -> Result<Vec<Tensor>> {
    const OP: &str = "meshgrid";
    if !["ij", "xy"].contains(&indexing) {
        return Err(Error::argument(OP, format!("indexing is \"ij\" or \"xy\", not \"{indexing}\"")));
    }
    if let Some(other) = tensors.iter().find(|t| t.dim() > 1) {
        return Err(Error::shape(OP, format!("takes vectors, not the shape {:?}", other.shape())));
    }
    let turned = indexing == "xy" && tensors.len() > 1;
    let place = |i: usize| if turned && i < 2 { 1 - i } else { i };
    let mut shape = vec![1; tensors.len()];
    tensors.iter().enumerate().for_each(|(i, t)| shape[place(i)] = numel(t.shape()));
    let along = |i: usize| {
        let mut own = vec![1; shape.len()];
        own[place(i)] = shape[place(i)];
        tensors[i].try_reshape(own)?.try_expand(&shape)
    };
    (0..tensors.len()).map(along).collect()
}
