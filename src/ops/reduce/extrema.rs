//! `amax` and `amin` over any dims, `max` and `min` over all. The gradient is shared evenly among the elements that equal
//! the extreme. A NaN wins over every number.
//!
//! Where the extreme is NaN, PyTorch's `amax` and `amin` give the gradient NaN, and its `max` and `min` give it to the
//! NaNs; so do these.
//!
//! <https://pytorch.org/docs/stable/generated/torch.amax.html>

use smallvec::smallvec;

use super::sum::{dims, reduction_cases, sum_into};
use super::{Kernels, ONCE, Parts, X_TO_Y, reduce, reduce_kernels, reduced_shape, refuse_empty, twin};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Item, Kernel, ParamsLayout, Variant};
use crate::ops::elementwise::{ElementwiseParams, grid};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};
use crate::{Error, Result};

/// The variants of kernels that order elements with `shaders/common/order.wgsl`.
macro_rules! ordered_variants {
    ($least:literal) => {
        &[
            Variant::new("f32", &[Item::Alias("elem", "f32"), Item::Const("KIND", 0), Item::Const("LEAST", $least)]),
            Variant::new("i32", &[Item::Alias("elem", "i32"), Item::Const("KIND", 1), Item::Const("LEAST", $least)]),
            Variant::new("u32", &[Item::Alias("elem", "u32"), Item::Const("KIND", 2), Item::Const("LEAST", $least)]),
        ]
    };
}

/// Variants in which the largest element wins.
pub(super) const LARGEST: &[Variant] = ordered_variants!(0);
/// Variants in which the smallest element wins.
pub(super) const SMALLEST: &[Variant] = ordered_variants!(1);

const MATHS: &str = include_str!("../../../shaders/reduce/extrema.wgsl");

static AMAX_KERNELS: Kernels = reduce_kernels!("amax", ONCE, MATHS, X_TO_Y, LARGEST, amax_twin, |_, _| Bound::Exact);
static AMIN_KERNELS: Kernels = reduce_kernels!("amin", ONCE, MATHS, X_TO_Y, SMALLEST, amin_twin, |_, _| Bound::Exact);

fn amax_twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    let largest = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
    let least = |dtype| if dtype == DType::I32 { i64::from(i32::MIN) } else { 0 };
    twin(call, parts, (f64::NEG_INFINITY, largest), (least, i64::max))
}

fn amin_twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    let smallest = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) };
    let greatest = |dtype| if dtype == DType::I32 { i64::from(i32::MAX) } else { i64::from(u32::MAX) };
    twin(call, parts, (f64::INFINITY, smallest), (greatest, i64::min))
}

static HITS: Kernel = Kernel {
    name: "amax.hits",
    source: &[include_str!("../../../shaders/reduce/extrema_backward.wgsl")],
    entry: "hits",
    bindings: &[Binding::Read("x"), Binding::Read("extreme"), Binding::Write("is_hit")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: Variant::ONLY,
    grid,
    reference: |call| {
        let p: &ElementwiseParams = call.params();
        let (x, extreme, mut is_hit) = (call.floats(0), call.floats(1), call.floats_mut(2));
        for i in 0..p.n {
            let (a, b) = (x[p.operand(i, 0)], extreme[p.operand(i, 1)]);
            let equal = a == b || p.scalars[0] != 0 && a.is_nan() && b.is_nan();
            is_hit[p.result(i)] = f64::from(u8::from(equal));
        }
        Ok(())
    },
    bound: |_| Bound::Exact,
};

static SHARE: Kernel = Kernel {
    name: "amax.share",
    source: &[include_str!("../../../shaders/reduce/extrema_backward.wgsl")],
    entry: "share",
    bindings: &[Binding::Read("hit"), Binding::Read("hits_of_all"), Binding::Read("g"), Binding::Write("dx")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: Variant::ONLY,
    grid,
    reference: |call| {
        let p: &ElementwiseParams = call.params();
        let (hit, hits, g, mut dx) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
        for i in 0..p.n {
            let count = hits[p.operand(i, 1)];
            dx[p.result(i)] = match (count == 0.0, hit[p.operand(i, 0)] != 0.0) {
                (true, _) => f64::NAN,
                (false, true) => g[p.operand(i, 2)] / count,
                (false, false) => 0.0,
            };
        }
        Ok(())
    },
    // One division, which Vulkan grants 2.5 ulp.
    bound: |_| Bound::ulps(3.0),
};

/// The operation `amax`.
pub(crate) static AMAX: Operation = Operation {
    name: "amax",
    kernels: &[
        &AMAX_KERNELS.by_thread,
        &AMAX_KERNELS.by_group,
        &AMAX_KERNELS.rows_by_thread,
        &AMAX_KERNELS.rows_by_group,
        &AMAX_KERNELS.by_columns,
        &HITS,
        &SHARE,
    ],
    forward: |call| forward(call, &AMAX_KERNELS),
    vjp: Some(vjp),
    cases: extrema_cases,
};

/// The operation `amin`; the kernels of the gradient are `amax`'s.
pub(crate) static AMIN: Operation = Operation {
    name: "amin",
    kernels: &AMIN_KERNELS.all(),
    forward: |call| forward(call, &AMIN_KERNELS),
    vjp: Some(vjp),
    cases: extrema_cases,
};

fn forward(call: &mut Call<'_>, kernels: &'static Kernels) -> Result<Outputs> {
    let x = call.input(0);
    let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
    refuse_empty(call.op(), x.shape(), &dims)?;
    let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
    let y = call.output(x.dtype(), &shape);
    reduce(call, kernels, x, &dims, &y, 1.0)?;
    call.save(x);
    call.save(&y);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (x, y) = (v.saved(0), v.saved(1));
    let shape = v.input_shape(0);
    let dims = dim_indices("amax", v.attrs().get_ints("dim"), shape.len())?;
    let kept = reduced_shape(shape, &dims, true);
    let (extreme, g) = (y.try_reshape(&kept[..])?, v.gradient().try_reshape(&kept[..])?);

    let hits = v.output(DType::F32, shape);
    let mut params = ElementwiseParams::new("amax", shape, &[&x, &extreme], &hits)?;
    params.scalars[0] = u32::from(v.attrs().get_bool("nan"));
    v.dispatch(&HITS, 0, &[&x, &extreme, &hits], &params);
    let count = v.output(DType::F32, &kept);
    sum_into(v, &hits, &dims, &count)?;
    let dx = v.gradient_output(0);
    let params = ElementwiseParams::new("amax", shape, &[&hits, &count, &g], &dx)?;
    v.dispatch(&SHARE, 0, &[&hits, &count, &g, &dx], &params);
    Ok(smallvec![Some(dx)])
}

fn extrema_cases() -> Vec<cases::Case> {
    use cases::{Case, EXTREME, Fill, Input};
    let attrs = |d: &[i64], nan| dims(d, false).bool("nan", nan);
    // Those of a sum, with values far enough apart for differences; what has no elements has no extreme.
    let distinct = |mut case: Case| {
        case.attrs = case.attrs.bool("nan", false);
        let empty = case.name == "nothing";
        for input in case.inputs.iter_mut().filter(|input| matches!(input.fill, Fill::Uniform(..))) {
            input.fill = Fill::Distinct;
        }
        if empty { case.fails() } else { case }
    };
    let mut list: Vec<Case> = reduction_cases().into_iter().map(distinct).collect();
    let floats = |shape: &[usize], fill| Input::floats(shape).fill(fill);
    list.extend([
        Case::new("ties", vec![floats(&[5, 9], Fill::Whole(0, 3))]).attrs(attrs(&[1], false)).no_gradcheck(),
        Case::new("extreme all", vec![floats(&[17], EXTREME)]).attrs(attrs(&[], true)).no_gradcheck(),
        Case::new("masked", vec![floats(&[2, 3], Fill::Values(&[f64::NEG_INFINITY]))])
            .attrs(attrs(&[1], false))
            .no_gradcheck(),
        Case::new("unbounded", vec![floats(&[2, 3], Fill::Values(&[f64::INFINITY]))])
            .attrs(attrs(&[1], false))
            .no_gradcheck(),
        Case::new("i32", vec![Input::ints(&[3, 70], -90, 90)]).attrs(attrs(&[1], false)),
        Case::new("i32 ends", vec![Input::ints(&[3], i64::from(i32::MIN), i64::from(i32::MAX))])
            .attrs(attrs(&[], false)),
        Case::new("u32", vec![Input::ints(&[70, 3], 0, 1 << 32).dtype(DType::U32)]).attrs(attrs(&[0], false)),
        Case::new("bool", vec![Input::bools(&[7, 3])]).attrs(attrs(&[0], false)),
        Case::new("ties by fours", vec![floats(&[5, 12], Fill::Whole(0, 3))]).attrs(attrs(&[1], false)).no_gradcheck(),
        Case::new("zeros by fours", vec![floats(&[3, 8], Fill::Values(&[-0.0, -0.0, 0.0, -0.0, -0.0]))])
            .attrs(attrs(&[1], false))
            .no_gradcheck(),
        Case::new("masked by fours", vec![floats(&[4, 8], Fill::Values(&[f64::NEG_INFINITY]))])
            .attrs(attrs(&[0], false))
            .no_gradcheck(),
    ]);
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 1 << 32).dtype(DType::U32);
    list.extend([
        Case::new("i32 by fours", vec![Input::ints(&[3, 72], -90, 90)]).attrs(attrs(&[1], false)),
        Case::new("i32 ends by fours", vec![Input::ints(&[4], i64::from(i32::MIN), i64::from(i32::MAX))])
            .attrs(attrs(&[], false)),
        Case::new("u32 by fours", vec![unsigned(&[3, 72])]).attrs(attrs(&[1], false)),
        Case::new("columns of i32", vec![Input::ints(&[9, 4], -90, 90)]).attrs(attrs(&[0], false)),
        Case::new("columns of u32", vec![unsigned(&[600, 8])]).attrs(attrs(&[0], false)),
    ]);
    list
}

fn over_dims(operation: &'static Operation, x: &Tensor, dims: &[i64], keepdim: bool) -> Result<Tensor> {
    single(apply(operation, &[x], Attrs::new().ints("dim", dims).bool("keepdim", keepdim).bool("nan", false)))
}

fn over_all(op: &'static str, operation: &'static Operation, x: &Tensor) -> Result<Tensor> {
    if numel(x.shape()) == 0 {
        return Err(Error::shape(op, format!("a tensor of shape {:?} has no elements to choose from", x.shape())));
    }
    single(apply(operation, &[x], Attrs::new().ints("dim", []).bool("keepdim", false).bool("nan", true)))
}

methods! {
    /// The largest element, 0-d; NaN if there is one. Where several are the largest, they share the gradient evenly.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::from_slice(&[1.0f32, 7.0, 3.0], &[3]).max().item::<f32>()?, 7.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there are no elements.
    pub fn max / try_max (&self) -> Tensor {
        over_all("max", &AMAX, self)
    }

    /// The smallest element, 0-d; NaN if there is one. Where several are the smallest, they share the gradient evenly.
    ///
    /// # Panics
    /// When there are no elements.
    pub fn min / try_min (&self) -> Tensor {
        over_all("min", &AMIN, self)
    }

    /// The largest elements over some dims; over all of them if the list is empty. `keepdim` leaves the dims with size 1.
    /// Elements that are the largest together share the gradient evenly, other than in [`Self::max_dim`].
    ///
    /// # Panics
    /// When a dim does not exist, is named twice or has no elements.
    pub fn amax / try_amax (&self, dims: &[i64], keepdim: bool) -> Tensor {
        over_dims(&AMAX, self, dims, keepdim)
    }

    /// The smallest elements over some dims: [`Self::amax`] turned round.
    ///
    /// # Panics
    /// As [`Self::amax`].
    pub fn amin / try_amin (&self, dims: &[i64], keepdim: bool) -> Tensor {
        over_dims(&AMIN, self, dims, keepdim)
    }
}
