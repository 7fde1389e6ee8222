//! `sum` over any dims. The gradient is spread over the elements.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sum.html>

use smallvec::smallvec;

use super::{
    Kernels, ONCE, Parts, ReduceParams, X_TO_Y, float_twin, grid_by_columns, reduce, reduce_kernels, reduced_shape,
    split, split_among_threads, spread, sum_bound, twin,
};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{HostCall, Item, Kernel, Variant};
use crate::ops::elementwise::half_variant;
use crate::ops::{Attrs, Operation, Run, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::dim_indices;

const MATHS: &str = include_str!("../../../shaders/reduce/sum.wgsl");

const KERNELS: Kernels =
    reduce_kernels!("sum", ONCE, MATHS, X_TO_Y, Variant::STORAGE, sum_twin, |params, _| sum_bound(params));

/// The kernels of a sum.
pub(crate) static SUM_KERNELS: Kernels = KERNELS;

/// Sums of rows of numbers of half the width, into f32.
static HALF_ROWS_BY_GROUP: Kernel = Kernel {
    name: "sum.half_rows_by_group",
    source: &["#import common/quads_half\n", ONCE[0], ONCE[2], MATHS],
    variants: &[
        Variant::new("f16", &[Item::Alias("elem", "f32"), Item::F16]),
        Variant::new("bf16", &[Item::Alias("elem", "f32"), Item::BF16]),
    ],
    reference: |call| float_twin(call, Parts::OfOutput, 0.0, |a, b| a + b),
    ..KERNELS.rows_by_group
};

/// Sums of their columns.
static HALF_BY_COLUMNS: Kernel = Kernel {
    name: "sum.half_by_columns",
    entry: "by_columns",
    grid: grid_by_columns,
    reference: |call| float_twin(call, Parts::OfAll, 0.0, |a, b| a + b),
    ..HALF_ROWS_BY_GROUP
};

fn sum_twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    twin(call, parts, (0.0, |a, b| a + b), (|_| 0, |a, b| a.wrapping_add(b)))
}

/// The operation `sum`.
pub(crate) static SUM: Operation = Operation {
    name: "sum",
    kernels: &[
        &SUM_KERNELS.by_thread,
        &SUM_KERNELS.by_group,
        &SUM_KERNELS.rows_by_thread,
        &SUM_KERNELS.rows_by_group,
        &SUM_KERNELS.by_columns,
        &HALF_ROWS_BY_GROUP,
        &HALF_BY_COLUMNS,
    ],
    forward: |call| {
        let x = call.input(0);
        let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
        let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
        let y = call.output(x.dtype(), &shape);
        reduce(call, &SUM_KERNELS, x, &dims, &y, 1.0)?;
        Ok(smallvec![y])
    },
    vjp: Some(|v| {
        let shape = v.input_shape(0);
        let dims = dim_indices("sum", v.attrs().get_ints("dim"), shape.len())?;
        Ok(smallvec![Some(spread(v.gradient(), shape, &dims)?)])
    }),
    cases: || sum_cases(),
};

/// Sums `dims` of `x` into the contiguous `y`, which is f32 where `x` is halves.
pub(crate) fn sum_into(run: &mut Run<'_>, x: &Tensor, dims: &[usize], y: &Tensor) -> Result<()> {
    let Some(variant) = half_variant(x.dtype()) else { return reduce(run, &SUM_KERNELS, x, dims, y, 1.0) };
    let mut params = ReduceParams::new("sum", x, dims, y)?;
    let (kernel, lie) = if params.has_quads_of_outputs() {
        split_among_threads(run, params.n / 4, &mut params);
        (&HALF_BY_COLUMNS, Parts::OfAll)
    } else if params.is_in_quads() {
        split(&mut params, false);
        (&HALF_ROWS_BY_GROUP, Parts::OfOutput)
    } else {
        return reduce(run, &SUM_KERNELS, &x.detach().try_to_dtype(DType::F32)?, dims, y, 1.0);
    };
    if params.splits == 1 {
        run.dispatch(kernel, variant, &[x, y], &params);
        return Ok(());
    }
    params.result_offset = 0;
    let (parts, dim) = lie.memory(run, &params, DType::F32);
    run.dispatch(kernel, variant, &[x, &parts], &params);
    reduce(run, &SUM_KERNELS, &parts, &[dim], y, 1.0)
}

fn sum_cases() -> Vec<cases::Case> {
    use cases::{Case, Input};
    let mut list = reduction_cases();
    list.push(Case::new("i32", vec![Input::ints(&[3, 70], -9, 9)]).attrs(dims(&[1], false)));
    list.push(Case::new("u32", vec![Input::ints(&[70, 3], 0, 9).dtype(DType::U32)]).attrs(dims(&[0], false)));
    list.push(Case::new("i32 by fours", vec![Input::ints(&[3, 72], -9, 9)]).attrs(dims(&[1], false)));
    list.push(Case::new("u32 by fours", vec![Input::ints(&[3, 72], 0, 9).dtype(DType::U32)]).attrs(dims(&[1], false)));
    list.push(Case::new("columns of i32", vec![Input::ints(&[9, 4], -9, 9)]).attrs(dims(&[0], false)));
    list.push(
        Case::new("columns of u32", vec![Input::ints(&[600, 8], 0, 9).dtype(DType::U32)]).attrs(dims(&[0], false)),
    );
    list
}

/// The arguments of a reduction.
pub(super) fn dims(dims: &[i64], keepdim: bool) -> Attrs {
    Attrs::new().ints("dim", dims).bool("keepdim", keepdim)
}

/// Cases of a reduction of floats that has an identity.
pub(crate) fn reduction_cases() -> Vec<cases::Case> {
    use cases::{ANY, Arrangement, Case, EXTREME, Input};
    let case = |name: &str, shape: &[usize], attrs| Case::new(name, vec![Input::floats(shape).fill(ANY)]).attrs(attrs);
    let behind = |name: &str, dim| {
        let x = Input::floats(&[12, 8]).arranged(Arrangement::Behind);
        Case::new(name, vec![x]).attrs(dims(&[dim], false)).no_gradcheck()
    };
    vec![
        case("all", &[4, 6], dims(&[], false)),
        case("last", &[3, 5], dims(&[-1], false)),
        case("first", &[5, 3], dims(&[0], false)),
        case("middle", &[2, 5, 3], dims(&[1], true)),
        case("outer two", &[2, 3, 4], dims(&[0, 1], false)),
        case("around", &[2, 3, 4], dims(&[0, 2], true)),
        case("0-d", &[], dims(&[], false)),
        case("one", &[1, 1], dims(&[0], false)),
        case("nothing", &[0, 3], dims(&[0], false)),
        case("empty result", &[0, 3], dims(&[1], false)),
        Case::new("transposed", vec![Input::floats(&[5, 3]).arranged(Arrangement::Transposed)])
            .attrs(dims(&[1], false)),
        Case::new("strided", vec![Input::floats(&[3, 7]).arranged(Arrangement::Strided)]).attrs(dims(&[1], false)),
        case("long", &[3, 1000], dims(&[1], false)).no_gradcheck(),
        case("longer", &[2, 40_000], dims(&[1], false)).no_gradcheck(),
        case("longest", &[2, 150_001], dims(&[1], false)).no_gradcheck(),
        // As many loops round each other as there can be, and parts as long.
        Case::new("eight dims", vec![Input::floats(&[2, 4, 8, 8, 8, 8, 8, 2]).arranged(Arrangement::Transposed)])
            .attrs(dims(&[], false))
            .no_gradcheck(),
        case("many", &[700, 3], dims(&[1], false)).no_gradcheck(),
        Case::new("extreme", vec![Input::floats(&[17, 2]).fill(EXTREME)]).attrs(dims(&[1], false)).no_gradcheck(),
        case("channels by fours", &[5, 3, 6, 8], dims(&[0, 2, 3], false)).no_gradcheck(),
        case("longest by fours", &[2, 150_004], dims(&[1], false)).no_gradcheck(),
        case("rows by fours", &[70, 12], dims(&[1], false)).no_gradcheck(),
        case("long rows by fours", &[70, 5_000], dims(&[1], false)).no_gradcheck(),
        case("columns by fours", &[7, 3, 8], dims(&[0], false)),
        case("columns inside by fours", &[3, 7, 12], dims(&[1], false)).no_gradcheck(),
        case("columns of two dims by fours", &[3, 5, 4, 4], dims(&[0, 2], false)).no_gradcheck(),
        case("long columns by fours", &[20_003, 8], dims(&[0], false)).no_gradcheck(),
        Case::new("extreme rows by fours", vec![Input::floats(&[17, 8]).fill(EXTREME)])
            .attrs(dims(&[1], false))
            .no_gradcheck(),
        Case::new("extreme columns by fours", vec![Input::floats(&[3, 20]).fill(EXTREME)])
            .attrs(dims(&[0], false))
            .no_gradcheck(),
        behind("rows by fours from an odd place", 1),
        behind("columns by fours from an odd place", 0),
        case("bad dim", &[2, 3], dims(&[2], false)).fails(),
        case("twice", &[2, 3], dims(&[1, -1], false)).fails(),
    ]
}

methods! {
    /// The sum of all elements, 0-d. Truth values are counted as i32.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).sum().item::<f32>()?, 6.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn sum / try_sum (&self) -> Tensor {
        self.try_sum_dims(&[], false)
    }

    /// The sum over some dims; all of them if the list is empty. `keepdim` leaves them with size 1.
    pub fn sum_dims / try_sum_dims (&self, dims: &[i64], keepdim: bool) -> Tensor {
        let x = if self.dtype() == DType::Bool { self.try_to_dtype(DType::I32)? } else { self.clone() };
        single(apply(&SUM, &[&x], Attrs::new().ints("dim", dims).bool("keepdim", keepdim)))
    }
}
