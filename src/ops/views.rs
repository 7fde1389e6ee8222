//! Views: other arrangements of the same elements. No kernel runs, but where PyTorch copies too (`reshape` of a tensor
//! that does not lie right, and the gradients of `expand` and slicing).

use smallvec::smallvec;

use super::{Attrs, Call, Operation, Vjp, apply, cases, copy_into, methods, single};
use crate::dtype::DType;
use crate::tensor::shape::{contiguous_strides, dim_index, dim_indices, numel};
use crate::tensor::{IntoShape, Layout, Shape, Tensor};
use crate::{Error, Result};

/// An operation that only rearranges, with its inverse as gradient.
macro_rules! view_operation {
    ($(#[$meta:meta])* $static:ident, $name:literal, $layout:expr, $vjp:expr, $cases:expr) => {
        $(#[$meta])*
        pub(crate) static $static: Operation = Operation {
            name: $name,
            kernels: &[],
            forward: |call| {
                let layout: fn(&Call<'_>, &Tensor) -> Result<Layout> = $layout;
                let layout = layout(call, call.input(0))?;
                Ok(smallvec![call.input(0).view_as_layout(layout)])
            },
            vjp: Some(|v| {
                let vjp: fn(&mut Vjp<'_>) -> Result<Tensor> = $vjp;
                Ok(smallvec![Some(vjp(v)?)])
            }),
            cases: $cases,
        };
    };
}

view_operation!(
    /// The operation `view`: another shape over the same elements in the same order.
    VIEW, "view",
    |call, x| {
        let shape = call.attrs().get_sizes("size");
        let strides = view_strides(x.shape(), x.strides(), &shape).ok_or_else(|| {
            let detail = format!("a tensor of shape {:?} and strides {:?} can't be seen as {shape:?}; `reshape` copies", x.shape(), x.strides());
            Error::shape("view", detail)
        })?;
        Ok(Layout { shape, strides, offset: x.offset() })
    },
    |v| v.gradient().try_reshape(v.input_shape(0)),
    || vec![
        cases::Case::new("merge", vec![cases::Input::floats(&[2, 3, 4])]).attrs(Attrs::new().ints("size", [6, 4])),
        cases::Case::new("split", vec![cases::Input::floats(&[6])]).attrs(Attrs::new().ints("size", [2, 1, 3])),
        cases::Case::new("empty", vec![cases::Input::floats(&[0, 3])]).attrs(Attrs::new().ints("size", [0])),
    ]
);

view_operation!(
    /// The operation `permute`.
    PERMUTE, "permute",
    |call, x| {
        let order = permutation(call.attrs().get_ints("dims"), x.dim())?;
        let pick = |values: &[usize]| order.iter().map(|&d| values[d]).collect::<Shape>();
        Ok(Layout { shape: pick(x.shape()), strides: pick(x.strides()), offset: x.offset() })
    },
    |v| {
        let order = permutation(v.attrs().get_ints("dims"), v.input_shape(0).len())?;
        let mut inverse = vec![0i64; order.len()];
        for (to, &from) in order.iter().enumerate() {
            inverse[from] = to as i64;
        }
        v.gradient().try_permute(&inverse)
    },
    || vec![
        cases::Case::new("3d", vec![cases::Input::floats(&[2, 3, 4])]).attrs(Attrs::new().ints("dims", [2, 0, 1])),
        cases::Case::new("twice", vec![cases::Input::floats(&[2, 3])]).attrs(Attrs::new().ints("dims", [0, 0])).fails(),
    ]
);

view_operation!(
    /// The operation `expand`.
    EXPAND, "expand",
    |call, x| {
        let shape = expanded(x.shape(), call.attrs().get_ints("size"))?;
        let strides = crate::tensor::shape::broadcast_strides(x.shape(), x.strides(), &shape);
        Ok(Layout { shape, strides, offset: x.offset() })
    },
    |v| Ok(v.gradient().clone()),
    || vec![
        cases::Case::new("rows", vec![cases::Input::floats(&[3])]).attrs(Attrs::new().ints("size", [4, 3])),
        cases::Case::new("keep", vec![cases::Input::floats(&[2, 1])]).attrs(Attrs::new().ints("size", [-1, 3])),
        cases::Case::new("no", vec![cases::Input::floats(&[2])]).attrs(Attrs::new().ints("size", [3])).fails(),
    ]
);

view_operation!(
    /// The operation `slice`: every `step`-th element of a dim from `start` up to, not including, `end`.
    SLICE, "slice",
    |call, x| {
        let (dim, start, len, step) = slice_range(call.attrs(), x.shape());
        let (mut shape, mut strides): (Shape, Shape) = (x.shape().into(), x.strides().into());
        // Without elements the start may lie behind the storage's end.
        let offset = if len == 0 || x.numel() == 0 { x.offset() } else { x.offset() + start * strides[dim] };
        (shape[dim], strides[dim]) = (len, strides[dim] * step);
        Ok(Layout { shape, strides, offset })
    },
    slice_vjp,
    || vec![
        slice_case("middle", &[5, 3], 0, 1, 4, 1),
        slice_case("step", &[2, 7], 1, 1, 7, 3),
        slice_case("none", &[4], 0, 2, 2, 1),
    ]
);

view_operation!(
    /// The operation `squeeze` and `unsqueeze`: dims of size 1 come and go.
    RESHAPE_ONES, "squeeze",
    |call, x| {
        let shape = call.attrs().get_sizes("size");
        let mut left = (0..x.dim()).filter(|&d| x.shape()[d] != 1);
        let strides = shape.iter().map(|&s| if s == 1 { 1 } else { x.strides()[left.next().expect("same dims")] }).collect();
        Ok(Layout { shape, strides, offset: x.offset() })
    },
    |v| v.gradient().try_reshape(v.input_shape(0)),
    || vec![
        cases::Case::new("drop", vec![cases::Input::floats(&[2, 1, 3])]).attrs(Attrs::new().ints("size", [2, 3])),
        cases::Case::new("add", vec![cases::Input::floats(&[2, 3]).arranged(cases::Arrangement::Transposed)])
            .attrs(Attrs::new().ints("size", [1, 2, 1, 3])),
    ]
);

fn slice_case(name: &str, shape: &[usize], dim: i64, start: i64, end: i64, step: i64) -> cases::Case {
    let attrs = slice_attrs(dim as usize, start as usize, end as usize, step as usize);
    cases::Case::new(name, vec![cases::Input::floats(shape)]).attrs(attrs)
}

fn slice_attrs(dim: usize, start: usize, end: usize, step: usize) -> Attrs {
    Attrs::new().ints("range", [dim as i64, start as i64, end as i64, step as i64])
}

/// Dim, first element, elements and step.
fn slice_range(attrs: &Attrs, shape: &[usize]) -> (usize, usize, usize, usize) {
    let &[dim, start, end, step] = attrs.get_ints("range") else { unreachable!("a range has four numbers") };
    let end = (end as usize).min(shape[dim as usize]);
    let len = end.saturating_sub(start as usize).div_ceil(step as usize);
    (dim as usize, start as usize, len, step as usize)
}

/// Zeros with the gradient in the slice's place.
fn slice_vjp(v: &mut Vjp<'_>) -> Result<Tensor> {
    let dx = Tensor::try_full_on(v.input_shape(0), 0.0, DType::F32, v.device())?;
    let (dim, start, len, step) = slice_range(v.attrs(), v.input_shape(0));
    let strides = contiguous_strides(v.input_shape(0));
    let (mut shape, mut inner): (Shape, Shape) = (v.input_shape(0).into(), strides.clone());
    (shape[dim], inner[dim]) = (len, strides[dim] * step);
    let offset = if len == 0 { 0 } else { start * strides[dim] };
    copy_into(&dx.view_as_layout(Layout { shape, strides: inner, offset }), v.gradient())?;
    Ok(dx)
}

fn permutation(dims: &[i64], rank: usize) -> Result<Vec<usize>> {
    let order = dims.iter().map(|&d| dim_index("permute", d, rank)).collect::<Result<Vec<_>>>()?;
    let mut seen = vec![false; rank];
    order.iter().for_each(|&d| seen[d] = true);
    if order.len() != rank || seen.contains(&false) {
        let detail = format!("dims {dims:?} do not name each of the tensor's {rank} dims once");
        return Err(Error::argument("permute", detail));
    }
    Ok(order)
}

fn expanded(shape: &[usize], size: &[i64]) -> Result<Shape> {
    let refuse = || {
        let hint = "a dim can only grow from 1, and -1 keeps it";
        Err(Error::shape("expand", format!("a tensor of shape {shape:?} can't be expanded to {size:?}: {hint}")))
    };
    if size.len() < shape.len() {
        return refuse();
    }
    let missing = size.len() - shape.len();
    let mut out = Shape::new();
    for (d, &s) in size.iter().enumerate() {
        let own = if d < missing { None } else { Some(shape[d - missing]) };
        match (own, s) {
            (Some(own), -1) => out.push(own),
            (None, s) if s >= 0 => out.push(s as usize),
            (Some(own), s) if s >= 0 && (own == 1 || own == s as usize) => out.push(s as usize),
            _ => return refuse(),
        }
    }
    crate::tensor::shape::checked_numel("expand", &out)?;
    Ok(out)
}

/// Strides that show a tensor in another shape without moving anything, if there are any.
fn view_strides(shape: &[usize], strides: &[usize], to: &[usize]) -> Option<Shape> {
    if numel(shape) == 0 {
        return Some(contiguous_strides(to));
    }
    let mut result: Shape = smallvec![0; to.len()];
    let dims: Vec<(usize, usize)> =
        shape.iter().copied().zip(strides.iter().copied()).filter(|(s, _)| *s != 1).collect();
    let mut next = to.len();
    let mut i = dims.len();
    while i > 0 {
        // A run of dims that lie one behind the other, from the back.
        let (mut size, stride) = dims[i - 1];
        i -= 1;
        while i > 0 && dims[i - 1].1 == stride * size {
            size *= dims[i - 1].0;
            i -= 1;
        }
        let mut step = stride;
        while size > 1 {
            next = next.checked_sub(1)?;
            if size % to[next] != 0 {
                return None;
            }
            result[next] = step;
            step *= to[next];
            size /= to[next];
        }
    }
    let fill = contiguous_strides(to);
    for d in 0..to.len() {
        if to[d] == 1 {
            result[d] = fill[d];
        }
    }
    Some(result)
}

/// Resolves a -1 in a requested shape.
fn resolve(op: &'static str, n: usize, size: &[i64]) -> Result<Shape> {
    let refuse = || Err(Error::shape(op, format!("{n} elements can't be arranged as {size:?}")));
    let unknown = size.iter().filter(|&&s| s == -1).count();
    let known: usize = size.iter().filter(|&&s| s != -1).map(|&s| s.max(0) as usize).product();
    if unknown > 1 || size.iter().any(|&s| s < -1) {
        return refuse();
    }
    if unknown == 1 && (known == 0 || !n.is_multiple_of(known)) || unknown == 0 && known != n {
        return refuse();
    }
    Ok(size.iter().map(|&s| if s == -1 { n / known } else { s as usize }).collect())
}

fn apply_view(operation: &'static Operation, x: &Tensor, attrs: Attrs) -> Result<Tensor> {
    single(apply(operation, &[x], attrs))
}

fn ones(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    apply_view(&RESHAPE_ONES, x, Attrs::new().sizes("size", shape))
}

methods! {
    /// The same elements in another shape; one dim may be -1 and is worked out. A view where the elements lie right,
    /// else a copy.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 6.0, 1.0);
    /// assert_eq!(x.reshape([2, -1]).shape(), [2, 3]);
    /// ```
    pub fn reshape / try_reshape (&self, shape: impl IntoShape) -> Tensor {
        let shape = resolve("reshape", self.numel(), &shape.into_sizes())?;
        if shape.as_slice() == self.shape() {
            return Ok(self.clone());
        }
        let fits = view_strides(self.shape(), self.strides(), &shape).is_some();
        let x = if fits { self.clone() } else { self.try_copy()? };
        apply_view(&VIEW, &x, Attrs::new().sizes("size", &shape))
    }

    /// [`Self::reshape`] that never copies: an error where the elements do not lie right.
    pub fn view / try_view (&self, shape: impl IntoShape) -> Tensor {
        let shape = resolve("view", self.numel(), &shape.into_sizes())?;
        apply_view(&VIEW, self, Attrs::new().sizes("size", &shape))
    }

    /// Merges the dims from `start` to `end`, both included.
    pub fn flatten / try_flatten (&self, start: i64, end: i64) -> Tensor {
        if self.dim() == 0 {
            return self.try_reshape([1]);
        }
        let (start, end) = (dim_index("flatten", start, self.dim())?, dim_index("flatten", end, self.dim())?);
        if start > end {
            let detail = format!("the first dim ({start}) lies behind the last ({end})");
            return Err(Error::argument("flatten", detail));
        }
        let merged = numel(&self.shape()[start..=end]);
        let shape: Vec<usize> =
            [&self.shape()[..start], &[merged], &self.shape()[end + 1..]].concat();
        self.try_reshape(&shape[..])
    }

    /// The dims in another order.
    pub fn permute / try_permute (&self, dims: &[i64]) -> Tensor {
        apply_view(&PERMUTE, self, Attrs::new().ints("dims", dims))
    }

    /// Two dims exchanged.
    pub fn transpose / try_transpose (&self, dim0: i64, dim1: i64) -> Tensor {
        let (a, b) = (dim_index("transpose", dim0, self.dim())?, dim_index("transpose", dim1, self.dim())?);
        let mut dims: Vec<i64> = (0..self.dim() as i64).collect();
        if self.dim() > 0 {
            dims.swap(a, b);
        }
        self.try_permute(&dims)
    }

    /// The transpose of a tensor with at most two dims.
    pub fn t / try_t (&self) -> Tensor {
        match self.dim() {
            0 | 1 => Ok(self.clone()),
            2 => self.try_transpose(0, 1),
            n => Err(Error::shape("t", format!("takes at most 2 dims, got {n}; use `.transpose(a, b)`"))),
        }
    }

    /// The tensor as if its dims of size 1 were larger; -1 keeps a dim. New dims go in front.
    pub fn expand / try_expand (&self, shape: impl IntoShape) -> Tensor {
        apply_view(&EXPAND, self, Attrs::new().ints("size", shape.into_sizes()))
    }

    /// Drops every dim of size 1.
    pub fn squeeze / try_squeeze (&self) -> Tensor {
        let shape: Shape = self.shape().iter().copied().filter(|&s| s != 1).collect();
        ones(self, &shape)
    }

    /// Drops one dim if its size is 1.
    pub fn squeeze_dim / try_squeeze_dim (&self, dim: i64) -> Tensor {
        let d = dim_index("squeeze", dim, self.dim())?;
        if self.dim() == 0 || self.shape()[d] != 1 {
            return Ok(self.clone());
        }
        let mut shape: Shape = self.shape().into();
        shape.remove(d);
        ones(self, &shape)
    }

    /// Drops those of these dims whose size is 1.
    pub fn squeeze_dims / try_squeeze_dims (&self, dims: &[i64]) -> Tensor {
        if dims.is_empty() {
            return Ok(self.clone());
        }
        let dims = dim_indices("squeeze", dims, self.dim())?;
        let stays = |d: &usize| self.shape()[*d] != 1 || !dims.contains(d);
        let shape: Shape = (0..self.dim()).filter(stays).map(|d| self.shape()[d]).collect();
        ones(self, &shape)
    }

    /// Puts a dim of size 1 in this place.
    pub fn unsqueeze / try_unsqueeze (&self, dim: i64) -> Tensor {
        let d = dim_index("unsqueeze", dim, self.dim() + 1)?;
        let mut shape: Shape = self.shape().into();
        shape.insert(d, 1);
        ones(self, &shape)
    }

    /// `length` elements of a dim from `start`, which may count from the end.
    pub fn narrow / try_narrow (&self, dim: i64, start: i64, length: usize) -> Tensor {
        let d = dim_index("narrow", dim, self.dim())?;
        let size = self.shape().get(d).copied().unwrap_or(0) as i64;
        let first = if start < 0 { start + size } else { start };
        if self.dim() == 0 || first < 0 || first > size || first + length as i64 > size {
            let detail = format!("{length} elements from {start} do not lie in dim {dim} of shape {:?}", self.shape());
            return Err(Error::argument("narrow", detail));
        }
        apply_view(&SLICE, self, slice_attrs(d, first as usize, first as usize + length, 1))
    }

    /// Elements `start..end` of a dim; both may count from the end and are limited to the dim, as in Python.
    pub fn slice / try_slice (&self, dim: i64, start: i64, end: i64) -> Tensor {
        self.try_slice_step(dim, start, end, 1)
    }

    /// Every `step`-th element of `start..end` of a dim: Python's `x[start:end:step]`.
    pub fn slice_step / try_slice_step (&self, dim: i64, start: i64, end: i64, step: usize) -> Tensor {
        let d = dim_index("slice", dim, self.dim())?;
        if self.dim() == 0 || step == 0 {
            let detail = if step == 0 { "the step must be at least 1" } else { "a 0-d tensor has no dim to slice" };
            return Err(Error::argument("slice", detail));
        }
        let size = self.shape()[d] as i64;
        let clip = |i: i64| (if i < 0 { i + size } else { i }).clamp(0, size) as usize;
        apply_view(&SLICE, self, slice_attrs(d, clip(start), clip(end), step))
    }

    /// One element of a dim, which goes: Python's `x[i]` for `dim` 0.
    pub fn select / try_select (&self, dim: i64, index: i64) -> Tensor {
        let d = dim_index("select", dim, self.dim())?;
        let size = self.shape().get(d).copied().unwrap_or(0) as i64;
        if !(-size..size).contains(&index) {
            let detail = format!("index {index} is out of range for dim {dim} of shape {:?}", self.shape());
            return Err(Error::argument("select", detail));
        }
        let one = self.try_narrow(dim, index, 1)?;
        let mut shape: Shape = one.shape().into();
        shape.remove(d);
        ones(&one, &shape)
    }

    /// Pieces of `size` along a dim; the last may be smaller.
    pub fn split / try_split (&self, size: usize, dim: i64) -> Vec<Tensor> {
        let d = dim_index("split", dim, self.dim())?;
        if self.dim() == 0 || size == 0 {
            return Err(Error::argument("split", format!("pieces of {size} of a tensor of shape {:?}", self.shape())));
        }
        let n = self.shape()[d];
        let count = n.div_ceil(size).max(1);
        (0..count).map(|i| self.try_narrow(dim, (i * size) as i64, size.min(n - i * size))).collect()
    }

    /// Pieces of the given sizes along a dim.
    pub fn split_sizes / try_split_sizes (&self, sizes: &[usize], dim: i64) -> Vec<Tensor> {
        let d = dim_index("split", dim, self.dim())?;
        if self.dim() == 0 || sizes.iter().sum::<usize>() != self.shape()[d] {
            let detail = format!("sizes {sizes:?} do not add up to dim {dim} of shape {:?}", self.shape());
            return Err(Error::argument("split", detail));
        }
        let mut start = 0;
        sizes.iter().map(|&s| {
            start += s;
            self.try_narrow(dim, (start - s) as i64, s)
        }).collect()
    }

    /// At most `chunks` pieces of equal size along a dim; the last may be smaller.
    pub fn chunk / try_chunk (&self, chunks: usize, dim: i64) -> Vec<Tensor> {
        let d = dim_index("chunk", dim, self.dim())?;
        if self.dim() == 0 || chunks == 0 {
            return Err(Error::argument("chunk", format!("{chunks} pieces of a tensor of shape {:?}", self.shape())));
        }
        self.try_split(self.shape()[d].div_ceil(chunks).max(1), dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_exist_where_pytorch_has_them() {
        // (shape, strides, to) -> strides
        assert_eq!(view_strides(&[2, 3], &[3, 1], &[6]).unwrap().as_slice(), [1]);
        assert_eq!(view_strides(&[2, 3], &[1, 2], &[6]), None);
        assert_eq!(view_strides(&[2, 3, 4], &[24, 4, 1], &[2, 12]).unwrap().as_slice(), [24, 1]);
        assert_eq!(view_strides(&[3], &[0], &[1, 3, 1]).unwrap()[1], 0);
        assert_eq!(view_strides(&[4], &[2], &[2, 2]).unwrap().as_slice(), [4, 2]);
        assert_eq!(view_strides(&[2, 3], &[1, 2], &[3, 2]), None);
    }

    #[test]
    fn minus_one_is_worked_out() {
        assert_eq!(resolve("t", 12, &[3, -1]).unwrap().as_slice(), [3, 4]);
        assert!(resolve("t", 12, &[5, -1]).is_err());
        assert!(resolve("t", 0, &[0, -1]).is_err());
        assert!(resolve("t", 12, &[-1, -1]).is_err());
    }
}
