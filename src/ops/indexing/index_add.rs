//! `index_add`: `y = x`, then for dim 0 `y[index[i]] += source[i]`.
//!
//! The gradient of x is the upstream gradient, that of the source its slices that the index names.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.index_add_.html>

use smallvec::smallvec;

use super::put::{check_slices, copied};
use super::scatter_add::Scatter;
use super::{at_least_1d, check_index};
use crate::dtype::DType;
use crate::engine::fault;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::dim_index;
use crate::{Error, Result};

const OP: &str = "index_add";

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index, source) = (call.input(0), call.input(1), call.input(2));
    let d = dim_index(OP, call.attrs().get_int("dim"), x.dim())?;
    check_index(OP, index)?;
    if x.dtype() != source.dtype() || x.dtype() == DType::Bool {
        let detail = format!("takes numbers of one type, not {} and {}", x.dtype(), source.dtype());
        return Err(Error::dtype(OP, detail));
    }
    check_slices(OP, x, index, source, d)?;
    let y = copied(call, OP, x)?;
    if source.numel() > 0 {
        let scatter = Scatter {
            target: &y,
            source,
            dim: d,
            index: &index.try_contiguous()?,
            by_line: false,
            skip: None,
            site: fault::site(OP),
            accumulate: true,
        };
        scatter.run(call, OP)?;
    }
    call.save(index);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let g = v.gradient();
    let ds = if v.needs(2) { Some(g.try_index_select(v.attrs().get_int("dim"), &v.saved(0))?) } else { None };
    Ok(smallvec![v.needs(0).then(|| g.clone()), None, ds])
}

/// The operation `index_add`: inputs x, a 1-d index, and the source.
pub(crate) static INDEX_ADD: Operation =
    Operation { name: "index_add", kernels: &[], forward, vjp: Some(vjp), cases: || slice_cases(false) };

/// Cases of what changes slices; `bools`: whether they may hold truth values.
pub(super) fn slice_cases(bools: bool) -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Input};
    let case = |name: &str, x: Input, index: Input, source: Input, dim: i64| {
        Case::new(name, vec![x, index, source]).attrs(Attrs::new().int("dim", dim))
    };
    let (x, index) = (Input::floats, |n: usize, size| Input::ints(&[n], 0, size));
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 9).dtype(DType::U32);
    let mut list = vec![
        case("rows", x(&[4, 3]), index(6, 4), x(&[6, 3]), 0),
        case("columns", x(&[4, 3]), index(5, 3), x(&[4, 5]), -1),
        case("middle", x(&[2, 5, 3]), index(7, 5), x(&[2, 7, 3]), 1),
        case("1-d", x(&[5]), index(3, 5), x(&[3]), 0),
        case("no index", x(&[4, 3]), index(0, 4), x(&[0, 3]), 0),
        case("empty", x(&[0, 3]), index(2, 3), x(&[0, 2]), 1),
        case(
            "odd",
            x(&[5, 3]).arranged(Arrangement::Transposed),
            index(4, 5).arranged(Arrangement::Strided),
            x(&[4, 3]).arranged(Arrangement::Expanded),
            0,
        ),
        case("large", x(&[65, 129]), index(100, 65), x(&[100, 129]), 0).no_gradcheck(),
        case("few", x(&[3, 2]), index(3000, 3), x(&[3000, 2]), 0).no_gradcheck(),
        case("extreme", x(&[20]).fill(EXTREME), index(17, 20), x(&[17]).fill(EXTREME), 0).no_gradcheck(),
        case("i32", Input::ints(&[6, 2], -9, 9), index(9, 6), Input::ints(&[9, 2], -9, 9), 0),
        case("u32", unsigned(&[6, 2]), index(9, 6), unsigned(&[9, 2]), 0),
        case("float index", x(&[4]), x(&[2]), x(&[2]), 0).fails(),
        case("2-d index", x(&[4, 3]), Input::ints(&[2, 2], 0, 3), x(&[4, 3]), 0).fails(),
        case("types", x(&[4]), index(2, 4), Input::ints(&[2], 0, 9), 0).fails(),
        case("other slices", x(&[4, 3]), index(2, 4), x(&[2, 2]), 0).fails(),
    ];
    let truth = case("bool", Input::bools(&[6, 2]), index(9, 6), Input::bools(&[9, 2]), 0);
    list.push(if bools { truth } else { truth.fails() });
    list
}

methods! {
    /// This tensor with `alpha` times the slices of `source` added to those of a dim that the 1-d i32 index names: for `dim` 0,
    /// `y[index[i]] += alpha · source[i]`.
    ///
    /// The order of the sums is fixed, so a run gives the same bits each time. An index outside of the dim, or below 0, is
    /// found on the device, as [`Self::scatter_add`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let source = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]);
    /// let y = Tensor::zeros(&[3]).index_add(0, &Tensor::from_slice(&[2, 0, 2], &[3]), &source, 1.0);
    /// assert_eq!(y.to_vec::<f32>()?, [2.0, 0.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When shapes or types do not fit.
    pub fn index_add / try_index_add (&self, dim: i64, index: &Tensor, source: &Tensor, alpha: f64) -> Tensor {
        let (x, rows, mut source) = (at_least_1d(self)?, at_least_1d(index)?, at_least_1d(source)?);
        if alpha != 1.0 {
            source = source.try_mul_scalar(alpha)?;
        }
        let y = single(apply(&INDEX_ADD, &[&x, &rows, &source], Attrs::new().int("dim", dim)))?;
        if self.dim() == 0 { y.try_reshape([0usize; 0]) } else { Ok(y) }
    }
}
