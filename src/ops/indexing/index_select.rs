//! `index_select`: whole slices of a dim, in the order of an index.
//!
//! The gradient of a slice is the sum of the upstream gradients of its copies.
//!
//! <https://pytorch.org/docs/stable/generated/torch.index_select.html>

use smallvec::smallvec;

use super::gather::pick;
use super::scatter_add::Scatter;
use super::{at_least_1d, check_index};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::shape::{checked_numel, dim_index};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

const OP: &str = "index_select";

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index) = (call.input(0), call.input(1));
    let d = dim_index(OP, call.attrs().get_int("dim"), x.dim())?;
    check_index(OP, index)?;
    if index.dim() != 1 {
        return Err(Error::shape(OP, format!("the index must be 1-d, it has the shape {:?}", index.shape())));
    }
    let mut shape: Shape = x.shape().into();
    shape[d] = index.numel();
    checked_numel(OP, &shape)?;
    let y = call.output(x.dtype(), &shape);
    // The index along the dim, the same for all others.
    let mut along: Shape = smallvec![0; shape.len()];
    along[d] = index.strides()[0];
    let wide = index.view_as_layout(Layout { shape, strides: along, offset: index.offset() });
    let mut strides: Shape = x.strides().into();
    strides[d] = 0;
    pick(call, OP, (x, strides, x.shape()[d], x.strides()[d]), &wide, &y)?;
    call.save(index);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let d = dim_index(OP, v.attrs().get_int("dim"), v.input_shape(0).len())?;
    let index = v.saved(0).try_contiguous()?;
    let dx = v.gradient_output(0);
    let scatter = Scatter {
        target: &dx,
        source: v.gradient(),
        dim: d,
        index: &index,
        by_line: false,
        skip: None,
        site: 0,
        accumulate: false,
    };
    scatter.run(v, OP)?;
    Ok(smallvec![Some(dx), None])
}

/// The operation `index_select`: inputs x and a 1-d index.
pub(crate) static INDEX_SELECT: Operation =
    Operation { name: "index_select", kernels: &[], forward, vjp: Some(vjp), cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let case = |name: &str, x: Input, index: Input, dim: i64| {
        Case::new(name, vec![x, index]).attrs(Attrs::new().int("dim", dim))
    };
    let (x, index) = (Input::floats, |n: usize, size| Input::ints(&[n], 0, size));
    vec![
        case("rows", x(&[4, 3]), index(6, 4), 0),
        case("columns", x(&[4, 3]), index(5, 3), -1),
        case("middle", x(&[2, 5, 3]), index(7, 5), 1),
        case("1-d", x(&[5]), index(3, 5), 0),
        case("no index", x(&[4, 3]), index(0, 4), 0),
        case("empty", x(&[0, 3]), index(2, 3), 1),
        case("transposed", x(&[5, 3]).arranged(Arrangement::Transposed), index(4, 5), 0),
        case("odd index", x(&[5, 3]).arranged(Arrangement::Strided), index(4, 3).arranged(Arrangement::Strided), 1),
        case("large", x(&[65, 129]), index(100, 65), 0).no_gradcheck(),
        case("many", x(&[2, 40, 3]), index(1500, 40), 1).no_gradcheck(),
        // Long runs of one index, which are added block by block.
        case("few", x(&[3, 2]), index(3000, 3), 0).no_gradcheck(),
        case("i32", Input::ints(&[6, 2], -9, 9), index(4, 6), 0),
        case("bool", Input::bools(&[6, 2]), index(4, 6), 0),
        case("2-d index", x(&[4, 3]), Input::ints(&[2, 2], 0, 3), 0).fails(),
        case("float index", x(&[4]), x(&[2]), 0).fails(),
        case("bad dim", x(&[4, 3]), index(2, 3), 2).fails(),
    ]
}

methods! {
    /// The slices of a dim that the 1-d i32 index names, in its order.
    ///
    /// An index outside of the dim, or below 0, is found on the device, as [`Self::gather`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// let rows = x.index_select(0, &Tensor::from_slice(&[1, 1, 0], &[3]));
    /// assert_eq!(rows.to_vec::<f32>()?, [3.0, 4.0, 3.0, 4.0, 1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn index_select / try_index_select (&self, dim: i64, index: &Tensor) -> Tensor {
        if self.dim() == 0 && index.numel() != 1 {
            return Err(Error::shape(OP, format!("a 0-d tensor takes one index, not {}", index.numel())));
        }
        let y = single(apply(&INDEX_SELECT, &[&at_least_1d(self)?, &at_least_1d(index)?], Attrs::new().int("dim", dim)))?;
        if self.dim() == 0 { y.try_reshape([0usize; 0]) } else { Ok(y) }
    }
}
