//! `unbind`: the slices of a dim, as views. Their gradients are copied into one tensor, side by side.
//!
//! <https://pytorch.org/docs/stable/generated/torch.unbind.html>

use super::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, copy_into, methods};
use crate::dtype::DType;
use crate::tensor::shape::{contiguous_strides, dim_index};
use crate::tensor::{Layout, Tensor};
use crate::{Error, Result};

/// The operation `unbind`.
pub(crate) static UNBIND: Operation = Operation { name: "unbind", kernels: &[], forward, vjp: Some(vjp), cases };

fn dim(attrs: &Attrs, shape: &[usize]) -> Result<usize> {
    if shape.is_empty() {
        return Err(Error::shape("unbind", "a 0-d tensor has no dim to take apart"));
    }
    dim_index("unbind", attrs.get_int("dim"), shape.len())
}

/// The slice with this number, of a tensor with these strides.
fn slice(t: &Tensor, strides: &[usize], dim: usize, i: usize) -> Tensor {
    let (mut shape, mut left) = (crate::tensor::Shape::from(t.shape()), crate::tensor::Shape::from(strides));
    let step = left.remove(dim);
    shape.remove(dim);
    // Without elements the start may lie behind the storage's end.
    let offset = if t.numel() == 0 { t.offset() } else { t.offset() + i * step };
    t.view_as_layout(Layout { shape, strides: left, offset })
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    let dim = dim(call.attrs(), x.shape())?;
    Ok((0..x.shape()[dim]).map(|i| slice(x, x.strides(), dim, i)).collect())
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let dim = dim(v.attrs(), v.input_shape(0))?;
    // Parts of words can't be written by themselves: halves are put together as f32.
    let shape = v.input_shape(0);
    let dx = if v.input_dtype(0).is_half() { v.output(DType::F32, shape) } else { v.gradient_output(0) };
    let strides = contiguous_strides(dx.shape());
    for i in 0..dx.shape()[dim] {
        let part = slice(&dx, &strides, dim, i);
        match v.gradient_of(i) {
            Some(g) => copy_into(&part, g)?,
            None => part.zero_()?,
        }
    }
    Ok(smallvec::smallvec![Some(dx)])
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let case = |name: &str, input: Input, dim| Case::new(name, vec![input]).attrs(Attrs::new().int("dim", dim));
    vec![
        case("first", Input::floats(&[3, 4]), 0),
        case("middle", Input::floats(&[2, 3, 4]), 1),
        case("last", Input::floats(&[2, 3]), -1),
        case("one", Input::floats(&[1, 3]), 0),
        case("vector", Input::floats(&[3]), 0),
        case("transposed", Input::floats(&[4, 3]).arranged(Arrangement::Transposed), 0),
        case("strided", Input::floats(&[2, 3]).arranged(Arrangement::Strided), 1),
        case("i32", Input::ints(&[2, 3], 0, 9), 0),
        case("0-d", Input::floats(&[]), 0).fails(),
        case("bad dim", Input::floats(&[2, 3]), 2).fails(),
    ]
}

methods! {
    /// The slices of a dim, without it: views.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let rows = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unbind(0);
    /// assert_eq!(rows[1].to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist.
    pub fn unbind / try_unbind (&self, dim: i64) -> Vec<Tensor> {
        Ok(apply(&UNBIND, &[self], Attrs::new().int("dim", dim))?.into_vec())
    }
}
