//! `diagonal`, a view of the elements whose coordinates in two dims differ by an offset, and `diag_embed`, zeros with a
//! tensor in such a place. Each is the other's gradient.
//!
//! <https://pytorch.org/docs/stable/generated/torch.diagonal.html>,
//! <https://pytorch.org/docs/stable/generated/torch.diag_embed.html>

use smallvec::smallvec;

use super::{Attrs, Operation, apply, cases, copy_into, methods, single};
use crate::dtype::DType;
use crate::engine::Device;
use crate::tensor::shape::{checked_numel, dim_index};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

fn attrs(offset: i64, dim1: i64, dim2: i64) -> Attrs {
    Attrs::new().int("offset", offset).int("dim1", dim1).int("dim2", dim2)
}

/// The two dims of a tensor with this many.
fn dims(op: &'static str, attrs: &Attrs, rank: usize) -> Result<(usize, usize)> {
    if rank < 2 {
        return Err(Error::shape(op, format!("needs two dims, the tensor has {rank}")));
    }
    let (a, b) = (dim_index(op, attrs.get_int("dim1"), rank)?, dim_index(op, attrs.get_int("dim2"), rank)?);
    if a == b {
        return Err(Error::argument(op, format!("the two dims must differ, both are {a}")));
    }
    Ok((a, b))
}

/// The diagonal's view of `x`: without the two dims, with a new last one.
fn diagonal_of(x: &Tensor, (a, b): (usize, usize), offset: i64) -> Tensor {
    let (rows, columns) = (x.shape()[a], x.shape()[b]);
    let far = offset.unsigned_abs() as usize;
    let (length, stride) = if offset >= 0 {
        (rows.min(columns.saturating_sub(far)), b)
    } else {
        (rows.saturating_sub(far).min(columns), a)
    };
    // Without elements the start may lie behind the storage's end.
    let start = if length == 0 || x.numel() == 0 { 0 } else { far * x.strides()[stride] };
    let (mut shape, mut strides): (Shape, Shape) = (x.shape().into(), x.strides().into());
    for d in [a.max(b), a.min(b)] {
        shape.remove(d);
        strides.remove(d);
    }
    shape.push(length);
    strides.push(x.strides()[a] + x.strides()[b]);
    x.view_as_layout(Layout { shape, strides, offset: x.offset() + start })
}

/// Zeros of this shape with `x` on the diagonal.
fn embed(x: &Tensor, shape: &[usize], dims: (usize, usize), offset: i64, device: &Device) -> Result<Tensor> {
    let y = Tensor::try_full_on(shape, 0.0, x.dtype(), device)?;
    copy_into(&diagonal_of(&y, dims, offset), x)?;
    Ok(y)
}

/// The operation `diagonal`.
pub(crate) static DIAGONAL: Operation = Operation {
    name: "diagonal",
    kernels: &[],
    forward: |call| {
        let (x, attrs) = (call.input(0), call.attrs());
        let dims = dims("diagonal", attrs, x.dim())?;
        Ok(smallvec![diagonal_of(x, dims, attrs.get_int("offset"))])
    },
    vjp: Some(|v| {
        let (shape, attrs) = (v.input_shape(0), v.attrs());
        let dims = dims("diagonal", attrs, shape.len())?;
        Ok(smallvec![Some(embed(v.gradient(), shape, dims, attrs.get_int("offset"), v.device())?)])
    }),
    cases: || {
        use cases::{Arrangement, Case, Input};
        let case = |name: &str, x: Input, offset, dim1, dim2| Case::new(name, vec![x]).attrs(attrs(offset, dim1, dim2));
        vec![
            case("square", Input::floats(&[3, 3]), 0, 0, 1),
            case("above", Input::floats(&[3, 5]), 1, 0, 1),
            case("below", Input::floats(&[5, 3]), -2, 0, 1),
            case("outside", Input::floats(&[3, 3]), 5, 0, 1),
            case("outer dims", Input::floats(&[3, 2, 4]), 0, 0, -1),
            case("turned round", Input::floats(&[2, 3, 4]), 1, 2, 1),
            case("empty", Input::floats(&[0, 3]), 0, 0, 1),
            case("transposed", Input::floats(&[5, 3]).arranged(Arrangement::Transposed), 1, 0, 1),
            case("bool", Input::bools(&[4, 4]), 0, 0, 1),
            case("one dim", Input::floats(&[3]), 0, 0, 1).fails(),
            case("same dim", Input::floats(&[3, 3]), 0, 1, -1).fails(),
        ]
    },
};

/// The operation `diag_embed`.
pub(crate) static DIAG_EMBED: Operation = Operation {
    name: "diag_embed",
    kernels: &[],
    forward: |call| {
        const OP: &str = "diag_embed";
        let (x, attrs) = (call.input(0), call.attrs());
        let Some(&length) = x.shape().last() else {
            return Err(Error::shape(OP, "takes at least one dim"));
        };
        let (a, b) = dims(OP, attrs, x.dim() + 1)?;
        let offset = attrs.get_int("offset");
        let mut shape: Shape = x.shape()[..x.dim() - 1].into();
        for d in [a.min(b), a.max(b)] {
            shape.insert(d, length + offset.unsigned_abs() as usize);
        }
        checked_numel(OP, &shape)?;
        Ok(smallvec![embed(x, &shape, (a, b), offset, x.device())?])
    },
    vjp: Some(|v| {
        let (offset, dim1, dim2) = (v.attrs().get_int("offset"), v.attrs().get_int("dim1"), v.attrs().get_int("dim2"));
        Ok(smallvec![Some(v.gradient().try_diagonal(offset, dim1, dim2)?)])
    }),
    cases: || {
        use cases::{Arrangement, Case, Input};
        let case = |name: &str, x: Input, offset, dim1, dim2| Case::new(name, vec![x]).attrs(attrs(offset, dim1, dim2));
        vec![
            case("vector", Input::floats(&[3]), 0, 0, 1),
            case("above", Input::floats(&[3]), 2, 0, 1),
            case("below", Input::floats(&[2, 3]), -1, -2, -1),
            case("front", Input::floats(&[2, 3]), 0, 0, 2),
            case("empty", Input::floats(&[0]), 0, 0, 1),
            case("transposed", Input::floats(&[4, 3]).arranged(Arrangement::Transposed), 0, -2, -1),
            case("i32", Input::ints(&[3], 1, 9), 0, 0, 1),
            case("0-d", Input::floats(&[]), 0, 0, 1).fails(),
        ]
    },
};

methods! {
    /// The elements whose coordinate in `dim2` is `offset` larger than that in `dim1`, as a view: the two dims go, the diagonal
    /// is the last one.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(x.diagonal(0, 0, 1).to_vec::<f32>()?, [1.0, 4.0]);
    /// assert_eq!(x.diagonal(1, 0, 1).to_vec::<f32>()?, [2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the tensor has fewer than two dims, or both are the same.
    pub fn diagonal / try_diagonal (&self, offset: i64, dim1: i64, dim2: i64) -> Tensor {
        single(apply(&DIAGONAL, &[self], attrs(offset, dim1, dim2)))
    }

    /// Zeros with the last dim of this tensor on the diagonal of two new dims.
    ///
    /// # Panics
    /// When the tensor has no dim, or both new ones are the same.
    pub fn diag_embed / try_diag_embed (&self, offset: i64, dim1: i64, dim2: i64) -> Tensor {
        single(apply(&DIAG_EMBED, &[self], attrs(offset, dim1, dim2)))
    }

    /// The diagonal of a matrix, or the matrix that has this vector on its diagonal: PyTorch's `diag`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.diag(0).to_vec::<f32>()?, [1.0, 0.0, 0.0, 2.0]);
    /// assert_eq!(x.diag(0).diag(0).to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the tensor has neither one nor two dims.
    pub fn diag / try_diag (&self, diagonal: i64) -> Tensor {
        match self.dim() {
            1 => self.try_diag_embed(diagonal, 0, 1),
            2 => self.try_diagonal(diagonal, 0, 1),
            n => Err(Error::shape("diag", format!("takes a vector or a matrix, this tensor has {n} dims"))),
        }
    }

    /// The sum of a matrix's diagonal.
    ///
    /// # Panics
    /// When the tensor is no matrix.
    pub fn trace / try_trace (&self) -> Tensor {
        if self.dim() != 2 {
            return Err(Error::shape("trace", format!("takes a matrix, not the shape {:?}", self.shape())));
        }
        self.try_diagonal(0, 0, 1)?.try_sum()
    }
}

/// Matrices with ones on a diagonal.
impl Tensor {
    /// Ones on the main diagonal of a matrix of `rows` and `columns`, of any type and on any device.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn try_eye_on(rows: usize, columns: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        checked_numel("eye", &[rows, columns])?;
        let one = Tensor::try_full_on(&[], 1.0, dtype, device)?.try_expand([rows.min(columns)])?;
        embed(&one, &[rows, columns], (0, 1), 0, device)
    }
}
