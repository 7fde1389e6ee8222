//! `scatter_reduce`: for each element of x the sum, mean, largest or smallest of itself and the elements of a source that an
//! index sends there; without itself on demand, where any comes.
//!
//! Sums and means are composed of `scatter_add`. The largest comes from a trick: sorted source elements are put in their
//! places in ascending order, and the last wins. A NaN comes last, so it wins, as in PyTorch; the smallest is the largest of
//! the negated elements. The gradient of an extremum is shared evenly among the elements that equal it.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.scatter_reduce_.html>

use smallvec::smallvec;

use super::check_sizes;
use crate::dtype::DType;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::shape::dim_index;
use crate::tensor::{Layout, Tensor};
use crate::{Error, Result};

const OP: &str = "scatter_reduce";

/// The elements of the source that the index covers.
fn covered(source: &Tensor, index: &Tensor) -> Result<Tensor> {
    let dims = 0..index.dim() as i64;
    dims.zip(index.shape()).try_fold(source.clone(), |x, (d, &size)| x.try_narrow(d, 0, size))
}

/// The largest element that comes to each place; where none comes, that of x.
fn largest(x: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let (values, order) = source.try_sort(dim, false)?;
    x.try_scatter(dim, &index.try_gather(dim, &order)?, &values)
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index, source) = (call.input(0), call.input(1), call.input(2));
    let attrs = call.attrs();
    let dim = attrs.get_int("dim");
    let d = dim_index(OP, dim, x.dim())?;
    super::check_index(OP, index)?;
    if !x.dtype().is_float() || !source.dtype().is_float() {
        return Err(Error::dtype(OP, format!("takes floats, not {} and {}", x.dtype(), source.dtype())));
    }
    check_sizes(OP, index, x, Some(d))?;
    check_sizes(OP, index, source, None)?;
    let part = covered(&source.detach(), index)?;
    let x = x.detach();
    let extreme = |x: &Tensor, part: &Tensor| -> Result<Tensor> {
        let y = largest(x, dim, index, part)?;
        if attrs.get_bool("include_self") { y.try_maximum(x) } else { Ok(y) }
    };
    let y = if attrs.get_bool("smallest") {
        extreme(&x.try_neg()?, &part.try_neg()?)?.try_neg()?
    } else {
        extreme(&x, &part)?
    };
    call.save(call.input(0));
    call.save(index);
    call.save(source);
    call.save(&y);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (x, index, source, y) = (v.saved(0), v.saved(1), v.saved(2), v.saved(3));
    let dim = v.attrs().get_int("dim");
    let same = |a: &Tensor, b: &Tensor| a.try_eq(b)?.try_to_dtype(DType::F32);
    let part = covered(&source, &index)?;
    let mut own = same(&x, &y)?;
    if !v.attrs().get_bool("include_self") {
        // Where anything comes, the element itself takes no part.
        own = own.try_scatter_value(dim, &index, 0.0)?;
    }
    let come = same(&part, &y.try_gather(dim, &index)?)?;
    let share = v.gradient().try_div(&own.try_scatter_add(dim, &index, &come)?)?;
    let dx = if v.needs(0) { Some(own.try_mul(&share)?) } else { None };
    if !v.needs(2) {
        return Ok(smallvec![dx, None, None]);
    }
    let picked = come.try_mul(&share.try_gather(dim, &index)?)?;
    if index.shape() == source.shape() {
        return Ok(smallvec![dx, None, Some(picked)]);
    }
    // What the index does not cover goes nowhere.
    let ds = Tensor::try_full_on(source.shape(), 0.0, DType::F32, v.device())?;
    let layout = Layout { shape: index.shape().into(), strides: ds.strides().into(), offset: ds.offset() };
    crate::ops::copy_into(&ds.view_as_layout(layout), &picked)?;
    Ok(smallvec![dx, None, Some(ds)])
}

/// The operation `scatter_reduce` of extrema: inputs x, the index and the source.
pub(crate) static SCATTER_EXTREMUM: Operation =
    Operation { name: "scatter_reduce", kernels: &[], forward, vjp: Some(vjp), cases };

fn attrs(dim: i64, smallest: bool, include_self: bool) -> Attrs {
    Attrs::new().int("dim", dim).bool("smallest", smallest).bool("include_self", include_self)
}

fn cases() -> Vec<cases::Case> {
    use cases::{Case, Fill, Input};
    let x = |shape: &[usize]| Input::floats(shape).fill(Fill::Distinct);
    // Between the elements of x, so that none are equal.
    let source = |shape: &[usize]| Input::floats(shape).fill(Fill::Uniform(-2.0, 2.0));
    let index = |shape: &[usize], size| Input::ints(shape, 0, size);
    let case = |name: &str, inputs: Vec<Input>, attrs| Case::new(name, inputs).attrs(attrs);
    vec![
        case("largest", vec![x(&[4, 3]), index(&[5, 3], 4), source(&[5, 3])], attrs(0, false, true)),
        case("smallest", vec![x(&[4, 3]), index(&[4, 6], 3), source(&[4, 6])], attrs(1, true, true)),
        case("without itself", vec![x(&[4, 3]), index(&[5, 3], 4), source(&[5, 3])], attrs(0, false, false)),
        case("larger source", vec![x(&[4, 5]), index(&[2, 3], 5), source(&[3, 4])], attrs(1, true, false)),
        case("large", vec![x(&[9, 50]), index(&[9, 1500], 50), source(&[9, 1500])], attrs(1, false, true))
            .no_gradcheck(),
        case("extreme", vec![x(&[5]), index(&[17], 5), source(&[17]).fill(cases::EXTREME)], attrs(0, true, true))
            .no_gradcheck(),
        case("ints", vec![Input::ints(&[4], 0, 9), index(&[2], 4), Input::ints(&[2], 0, 9)], attrs(0, false, true))
            .fails(),
        case("rank", vec![x(&[4, 3]), index(&[4], 3), source(&[4])], attrs(1, false, true)).fails(),
    ]
}

methods! {
    /// For each element the `"sum"`, `"mean"`, `"amax"` or `"amin"` of itself and the elements of `source` that the i32 index sends
    /// to it, as [`Self::scatter_add`] tells. Without `include_self` an element to which any come takes no part itself.
    ///
    /// The gradient of `"amax"` and `"amin"` is shared evenly among equal elements; without `include_self` among those of the
    /// source alone, where PyTorch loses the share of an element that is equal but takes no part.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (index, source) = (Tensor::from_slice(&[0, 0, 1], &[3]), Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]));
    /// let x = Tensor::full(&[3], 2.5);
    /// assert_eq!(x.scatter_reduce(0, &index, &source, "amax", true).to_vec::<f32>()?, [2.5, 3.0, 2.5]);
    /// assert_eq!(x.scatter_reduce(0, &index, &source, "mean", false).to_vec::<f32>()?, [1.5, 3.0, 2.5]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When shapes or types do not fit, or `reduce` is none of these.
    pub fn scatter_reduce / try_scatter_reduce (
        &self,
        dim: i64,
        index: &Tensor,
        source: &Tensor,
        reduce: &str,
        include_self: bool,
    ) -> Tensor {
        match reduce {
            "sum" | "mean" => {
                let base =
                    if include_self { self.clone() } else { self.try_scatter_value(dim, index, 0.0)? };
                let sum = base.try_scatter_add(dim, index, source)?;
                if reduce == "sum" {
                    return Ok(sum);
                }
                let own = Tensor::try_full_on(self.shape(), f64::from(u8::from(include_self)), DType::F32, self.device())?;
                let one = Tensor::try_full_on(&[], 1.0, DType::F32, self.device())?;
                let count = own.try_scatter_add(dim, index, &one.try_expand(index.shape())?)?;
                sum.try_div(&count.try_maximum(&one)?)
            }
            "amax" | "amin" => {
                let attrs = attrs(dim, reduce == "amin", include_self);
                single(apply(&SCATTER_EXTREMUM, &[self, index, source], attrs))
            }
            other => {
                let detail = format!("`{other}` is none of \"sum\", \"mean\", \"amax\", \"amin\"");
                Err(Error::argument(OP, detail))
            }
        }
    }
}
