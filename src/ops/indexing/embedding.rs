//! `embedding`: for each number the row of a table, `[V, D]` and `[…]` to `[…, D]`.
//!
//! The gradient of a row is the sum of the upstream gradients of its copies; the row `padding_idx` gets none.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html>

use smallvec::smallvec;

use super::check_index;
use super::gather::pick;
use super::scatter_add::Scatter;
use crate::ops::{Attr, Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::shape::checked_numel;
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

const OP: &str = "embedding";

/// The padding row, which may count from the end.
fn padding(attrs: &Attrs, rows: usize) -> Result<Option<i32>> {
    let Some(Attr::Int(index)) = attrs.get("padding_idx") else { return Ok(None) };
    let n = rows as i64;
    if !(-n..n).contains(index) {
        let detail = format!("padding_idx {index} is no row of a table of {rows}");
        return Err(Error::argument(OP, detail));
    }
    Ok(Some(index.rem_euclid(n) as i32))
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (weight, indices) = (call.input(0), call.input(1));
    check_index(OP, indices)?;
    let &[rows, width] = weight.shape() else {
        return Err(Error::shape(OP, format!("the table must be 2-d, it has the shape {:?}", weight.shape())));
    };
    padding(call.attrs(), rows)?;
    let mut shape: Shape = indices.shape().into();
    shape.push(width);
    checked_numel(OP, &shape)?;
    let y = call.output(weight.dtype(), &shape);
    let mut strides: Shape = smallvec![0; shape.len()];
    strides[shape.len() - 1] = weight.strides()[1];
    let mut along: Shape = indices.strides().into();
    along.push(0);
    let wide = indices.view_as_layout(Layout { shape, strides: along, offset: indices.offset() });
    pick(call, OP, (weight, strides, rows, weight.strides()[0]), &wide, &y)?;
    call.save(indices);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let &[rows, width] = v.input_shape(0) else { unreachable!("the forward run saw two dims") };
    let indices = v.saved(0).try_contiguous()?;
    let g = v.gradient().try_reshape([indices.numel(), width])?;
    let skip = padding(v.attrs(), rows)?;
    let dx = v.gradient_output(0);
    let scatter =
        Scatter { target: &dx, source: &g, dim: 0, index: &indices, by_line: false, skip, site: 0, accumulate: false };
    scatter.run(v, OP)?;
    Ok(smallvec![Some(dx), None])
}

/// The operation `embedding`: inputs the table and the numbers of its rows.
pub(crate) static EMBEDDING: Operation = Operation { name: "embedding", kernels: &[], forward, vjp: Some(vjp), cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let case = |name: &str, weight: Input, indices: Input, padding: Option<i64>| {
        let attrs = padding.map_or(Attrs::new(), |p| Attrs::new().int("padding_idx", p));
        Case::new(name, vec![weight, indices]).attrs(attrs)
    };
    let (table, index) = (Input::floats, |shape: &[usize], size| Input::ints(shape, 0, size));
    vec![
        case("sentences", table(&[7, 4]), index(&[2, 5], 7), None),
        case("one sentence", table(&[5, 3]), index(&[6], 5), None),
        case("0-d", table(&[5, 3]), index(&[], 5), None),
        // What padding leaves out of the gradient, differences would find.
        case("padding", table(&[3, 2]), index(&[2, 6], 3), Some(1)).no_gradcheck(),
        case("padding from the end", table(&[3, 2]), index(&[8], 3), Some(-3)).no_gradcheck(),
        case("nothing", table(&[5, 3]), index(&[0, 2], 5), None),
        case("no width", table(&[5, 0]), index(&[2], 5), None),
        case("transposed", table(&[5, 3]).arranged(Arrangement::Transposed), index(&[4, 2], 5), None),
        case("odd index", table(&[5, 3]), index(&[2, 3, 4], 5).arranged(Arrangement::Transposed), None),
        case("large", table(&[500, 33]), index(&[8, 40], 500), None).no_gradcheck(),
        case("sorted", table(&[50, 3]), index(&[40, 30], 50), Some(7)).no_gradcheck(),
        case("runs", table(&[2, 5]), index(&[3, 700], 2), None).no_gradcheck(),
        case("runs of padding", table(&[2, 5]), index(&[2000], 2), Some(0)).no_gradcheck(),
        case("large table", table(&[70_000, 2]), index(&[1100], 70_000), None).no_gradcheck(),
        case("3-d table", table(&[2, 3, 4]), index(&[2], 2), None).fails(),
        case("float index", table(&[5, 3]), table(&[2]), None).fails(),
        case("bad padding", table(&[5, 3]), index(&[2], 5), Some(5)).fails(),
    ]
}

methods! {
    /// The rows of this table `[V, D]` that the i32 `indices` `[…]` name: `[…, D]`. The row `padding_idx`, which may count
    /// from the end, gets no gradient.
    ///
    /// An index outside of the table, or below 0, is found on the device, as [`Self::gather`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let table = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).requires_grad();
    /// let words = table.embedding(&Tensor::from_slice(&[1, 0, 1], &[3]), None);
    /// assert_eq!(words.to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    /// words.sum().backward()?;
    /// assert_eq!(table.grad().unwrap().to_vec::<f32>()?, [1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn embedding / try_embedding (&self, indices: &Tensor, padding_idx: Option<i64>) -> Tensor {
        let attrs = padding_idx.map_or(Attrs::new(), |index| Attrs::new().int("padding_idx", index));
        single(apply(&EMBEDDING, &[self, indices], attrs))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn the_padding_row_gets_no_gradient() {
        let device = Device::reference();
        for (padding, want) in [(None, [2.0, 1.0]), (Some(0), [0.0, 1.0]), (Some(-1), [2.0, 0.0])] {
            let table = Tensor::full_on(&[2, 1], 1.0, DType::F32, &device).requires_grad();
            let words = table.embedding(&Tensor::from_slice_on(&[0, 1, 0], &[3], &device), padding);
            words.sum().backward().unwrap();
            assert_eq!(table.grad().unwrap().to_vec::<f32>().unwrap(), want, "{padding:?}");
        }
    }
}
