//! `gather`: `y[i, j] = x[index[i, j], j]` for dim 0, `x[i, index[i, j]]` for dim 1, and so on.
//!
//! The gradient goes back to where the elements came from; where several came from one place, their gradients are added.
//!
//! <https://pytorch.org/docs/stable/generated/torch.gather.html>

use smallvec::smallvec;

use super::scatter_add::{Scatter, line_major};
use super::{at_least_1d, check_index, check_sizes};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Item, Kernel, ParamsLayout, Variant, fault};
use crate::ops::elementwise::{ElementwiseParams, grid};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::tensor::shape::dim_index;
use crate::tensor::{Layout, Shape, Tensor};

/// BAD: the bits that a bad index gives.
const VARIANTS: &[Variant] = &[
    Variant::new("f32", &[Item::Alias("elem", "f32"), Item::Const("BAD", 0x7fc0_0000)]),
    Variant::new("i32", &[Item::Alias("elem", "i32"), Item::Const("BAD", 0)]),
    Variant::new("u32", &[Item::Alias("elem", "u32"), Item::Const("BAD", 0)]),
];

static FORWARD: Kernel = Kernel {
    name: "gather.forward",
    source: &[include_str!("../../../shaders/indexing/gather.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Read("index"), Binding::Write("y"), Binding::Faults],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: VARIANTS,
    grid: |p| {
        // Of the operand only what is asked for: as much as there are indices.
        grid(p).elements_moved(3 * u64::from(p.get::<ElementwiseParams>().n))
    },
    reference: twin,
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let index = call.ints(1);
    let [size, step, site, _] = p.scalars;
    let places = (0..p.n).map(|i| {
        let k = index[p.operand(i, 1)];
        if k < 0 || k as u32 >= size {
            return Err(call.fault(site, i64::from(k), i64::from(size)));
        }
        Ok((p.operand(i, 0) + (k as u32 * step) as usize, p.result(i)))
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    match call.variant() {
        0 => {
            let (x, mut y) = (call.floats(0), call.floats_mut(2));
            places.into_iter().for_each(|(from, to)| y[to] = x[from]);
        }
        1 => {
            let (x, mut y) = (call.ints(0), call.ints_mut(2));
            places.into_iter().for_each(|(from, to)| y[to] = x[from]);
        }
        _ => {
            let (x, mut y) = (call.words(0), call.words_mut(2));
            places.into_iter().for_each(|(from, to)| y[to] = x[from]);
        }
    }
    Ok(())
}

/// For each element of the contiguous `y`: that of `x` which lies, along a dim of `size` elements `step` apart, where the
/// index says. `strides` are those of `x` in y's shape, 0 along the dim; the index is broadcast to y's shape.
pub(super) fn pick(
    run: &mut Run<'_>,
    op: &'static str,
    (x, strides, size, step): (&Tensor, Shape, usize, usize),
    index: &Tensor,
    y: &Tensor,
) -> Result<()> {
    let x = x.view_as_layout(Layout { shape: y.shape().into(), strides, offset: x.offset() });
    let mut params = ElementwiseParams::new(op, y.shape(), &[&x, index], y)?;
    params.scalars = [size as u32, step as u32, fault::site(op), 0];
    run.dispatch(&FORWARD, y.dtype().storage_variant(), &[&x, index, y], &params);
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index) = (call.input(0), call.input(1));
    let d = dim_index(call.op(), call.attrs().get_int("dim"), x.dim())?;
    check_index(call.op(), index)?;
    if index.numel() > 0 {
        check_sizes(call.op(), index, x, Some(d))?;
    }
    let y = call.output(x.dtype(), index.shape());
    if index.numel() > 0 {
        let mut strides: Shape = x.strides().into();
        strides[d] = 0;
        let op = call.op();
        pick(call, op, (x, strides, x.shape()[d], x.strides()[d]), index, &y)?;
    }
    call.save(index);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    const OP: &str = "gather";
    let (index, shape) = (v.saved(0), v.input_shape(0));
    let zeros = |v: &Vjp<'_>| Tensor::try_full_on(shape, 0.0, DType::F32, v.device());
    if index.numel() == 0 {
        return Ok(smallvec![Some(zeros(v)?), None]);
    }
    let d = dim_index(OP, v.attrs().get_int("dim"), shape.len())?;
    // Without other elements than the index covers there is nothing to fill with zeros first.
    let covered = (0..shape.len()).all(|i| i == d || index.shape()[i] == shape[i]);
    let dx = if covered { v.gradient_output(0) } else { zeros(v)? };
    let scatter = Scatter {
        target: &dx,
        source: v.gradient(),
        dim: d,
        index: &line_major(&index, d)?,
        by_line: true,
        skip: None,
        // A bad index was reported on the way forward.
        site: 0,
        accumulate: !covered,
    };
    scatter.run(v, OP)?;
    Ok(smallvec![Some(dx), None])
}

/// The operation `gather`: inputs x and the index.
pub(crate) static GATHER: Operation =
    Operation { name: "gather", kernels: &[&FORWARD], forward, vjp: Some(vjp), cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Input};
    let case = |name: &str, x: Input, index: Input, dim: i64| {
        Case::new(name, vec![x, index]).attrs(Attrs::new().int("dim", dim))
    };
    let (x, index) = (Input::floats, |shape: &[usize], size| Input::ints(shape, 0, size));
    vec![
        case("dim 0", x(&[4, 3]), index(&[5, 3], 4), 0),
        case("dim 1", x(&[4, 3]), index(&[4, 6], 3), 1),
        case("middle", x(&[2, 5, 3]), index(&[2, 4, 3], 5), -2),
        case("smaller index", x(&[4, 5]), index(&[2, 3], 5), 1),
        case("one each", x(&[7, 5]), index(&[7, 1], 5), 1),
        case("1-d", x(&[5]), index(&[9], 5), 0),
        case("one", x(&[1]), index(&[1], 1), 0),
        case("no index", x(&[4, 3]), index(&[0], 4), 1),
        case("empty", x(&[4, 0]), index(&[2, 0], 4), 0),
        case("transposed", x(&[5, 3]).arranged(Arrangement::Transposed), index(&[4, 3], 5), 0),
        case("odd index", x(&[5, 3]), index(&[5, 4], 3).arranged(Arrangement::Strided), 1),
        case(
            "expanded",
            x(&[4, 3]).arranged(Arrangement::Expanded),
            index(&[4, 2], 3).arranged(Arrangement::Expanded),
            1,
        ),
        case("large", x(&[65, 129]), index(&[65, 70], 129), 1).no_gradcheck(),
        case("long lines", x(&[3, 40]), index(&[3, 1500], 40), 1).no_gradcheck(),
        case("long columns", x(&[7, 3]), index(&[1200, 2], 7), 0).no_gradcheck(),
        case("extreme", x(&[17]).fill(EXTREME), index(&[40], 17), 0).no_gradcheck(),
        case("i32", Input::ints(&[6], -9, 9), index(&[4], 6), 0),
        case("u32", Input::ints(&[6], 0, 9).dtype(DType::U32), index(&[4], 6), 0),
        case("bool", Input::bools(&[6]), index(&[4], 6), 0),
        case("float index", x(&[4]), x(&[2]), 0).fails(),
        case("bool index", x(&[4]), Input::bools(&[2]), 0).fails(),
        case("rank", x(&[4, 3]), index(&[4], 3), 1).fails(),
        case("larger index", x(&[4, 3]), index(&[5, 3], 3), 1).fails(),
        case("bad dim", x(&[4, 3]), index(&[4, 3], 3), 2).fails(),
    ]
}

methods! {
    /// The elements along a dim that the i32 index names: for `dim` 1, `y[i][j] = x[i][index[i][j]]`. The result has the
    /// index's shape; the other dims of the index may be smaller than those of this tensor.
    ///
    /// An index outside of the dim, or below 0, is found on the device: the result there is NaN, nothing is updated from then
    /// on, and the next read returns [`Error::Index`](crate::Error::Index).
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// let index = Tensor::from_slice(&[0, 0, 1, 0], &[2, 2]);
    /// assert_eq!(x.gather(1, &index).to_vec::<f32>()?, [1.0, 1.0, 4.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn gather / try_gather (&self, dim: i64, index: &Tensor) -> Tensor {
        let (x, rows) = (at_least_1d(self)?, at_least_1d(index)?);
        let y = single(apply(&GATHER, &[&x, &rows], Attrs::new().int("dim", dim)))?;
        if index.dim() == 0 { y.try_reshape([0usize; 0]) } else { Ok(y) }
    }
}
