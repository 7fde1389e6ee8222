//! `max` and `min` along a dim, with positions; `argmax` and `argmin`. Of equal elements the first is taken, and a NaN
//! before every number. The gradient goes to the element that was taken.
//!
//! <https://pytorch.org/docs/stable/generated/torch.max.html>

use smallvec::smallvec;

use super::extrema::{LARGEST, SMALLEST};
use super::{Kernels, Parts, ReduceParams, Texts, reduce_kernels, reduced_shape, refuse_empty};
use crate::Result;
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, pair};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_index, dim_indices, numel};

const TEXTS: Texts = [
    include_str!("../../../shaders/reduce/extrema_dim.wgsl"),
    include_str!("../../../shaders/reduce/extrema_dim_each.wgsl"),
    include_str!("../../../shaders/reduce/extrema_dim_quads.wgsl"),
];

const BINDINGS: &[Binding] =
    &[Binding::Read("x"), Binding::Read("places"), Binding::Write("values"), Binding::Write("indices")];

static MAX_KERNELS: Kernels = reduce_kernels!("max_dim", TEXTS, "", BINDINGS, LARGEST, max_twin, |_, _| Bound::Exact);
static MIN_KERNELS: Kernels = reduce_kernels!("min_dim", TEXTS, "", BINDINGS, SMALLEST, min_twin, |_, _| Bound::Exact);

fn max_twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    extrema_twin(call, parts, |best, v| v > best)
}

fn min_twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    extrema_twin(call, parts, |best, v| v < best)
}

/// `beats` compares numbers; every 32-bit integer is an `f64`.
fn extrema_twin(call: &HostCall<'_>, parts: Parts, beats: fn(f64, f64) -> bool) -> Result<()> {
    let p: &ReduceParams = call.params();
    let value = |i: usize| match call.variant() {
        0 => call.floats(0)[i],
        1 => f64::from(call.ints(0)[i]),
        _ => f64::from(call.words(0)[i]),
    };
    for part in parts.all(p) {
        let mut walk = part.places(p).zip(part.elements.clone());
        let Some((mut from, mut place)) = walk.next() else { continue };
        for (at, j) in walk {
            let (best, v) = (value(from), value(at));
            if !best.is_nan() && (v.is_nan() || beats(best, v)) {
                (from, place) = (at, j);
            }
        }
        let i = part.number as usize;
        match call.variant() {
            0 => call.floats_mut(2)[i] = call.floats(0)[from],
            1 => call.ints_mut(2)[i] = call.ints(0)[from],
            _ => call.words_mut(2)[i] = call.words(0)[from],
        }
        call.ints_mut(3)[i] = if p.merging != 0 { call.ints(1)[from] } else { place as i32 };
    }
    Ok(())
}

params! {
    /// Twin of `Params` in `shaders/reduce/extrema_dim_backward.wgsl`.
    pub struct TakenParams {
        n: u32,
        size: u32,
        inner: u32,
        g_offset: u32,
        result_offset: u32,
    }
}

static BACKWARD: Kernel = Kernel {
    name: "max_dim.backward",
    source: &[include_str!("../../../shaders/reduce/extrema_dim_backward.wgsl")],
    entry: "backward",
    bindings: &[Binding::Read("g"), Binding::Read("indices"), Binding::Write("dx")],
    params: ParamsLayout::of::<TakenParams>(),
    variants: Variant::ONLY,
    grid: |p| Grid::elements(p.get::<TakenParams>().n),
    reference: |call| {
        let p: &TakenParams = call.params();
        let (g, indices, mut dx) = (call.floats(0), call.ints(1), call.floats_mut(2));
        for i in 0..p.n {
            let row = i / (p.inner * p.size) * p.inner + i % p.inner;
            let own = indices[row as usize] as u32 == i / p.inner % p.size;
            dx[(p.result_offset + i) as usize] = if own { g[(p.g_offset + row) as usize] } else { 0.0 };
        }
        Ok(())
    },
    bound: |_| Bound::Exact,
};

/// The operation `max` along a dim: values and positions.
pub(crate) static MAX_DIM: Operation = Operation {
    name: "max_dim",
    kernels: &[
        &MAX_KERNELS.by_thread,
        &MAX_KERNELS.by_group,
        &MAX_KERNELS.rows_by_thread,
        &MAX_KERNELS.rows_by_group,
        &MAX_KERNELS.by_columns,
        &BACKWARD,
    ],
    forward: |call| along_dim(call, &MAX_KERNELS),
    vjp: Some(vjp),
    cases: || dim_cases(true),
};

/// The operation `min` along a dim; the kernel of the gradient is that of `max`.
pub(crate) static MIN_DIM: Operation = Operation {
    name: "min_dim",
    kernels: &MIN_KERNELS.all(),
    forward: |call| along_dim(call, &MIN_KERNELS),
    vjp: Some(vjp),
    cases: || dim_cases(true),
};

/// The operation `argmax`, along a dim or over all; the kernels are those of `max`.
pub(crate) static ARGMAX: Operation = Operation {
    name: "argmax",
    kernels: &[],
    forward: |call| positions(call, &MAX_KERNELS),
    vjp: None,
    cases: || dim_cases(false),
};

/// The operation `argmin`, along a dim or over all; the kernels are those of `min`.
pub(crate) static ARGMIN: Operation = Operation {
    name: "argmin",
    kernels: &[],
    forward: |call| positions(call, &MIN_KERNELS),
    vjp: None,
    cases: || dim_cases(false),
};

/// Finds the extreme of `dims` of `x`: into the contiguous `values` the elements, into `indices` their numbers in the walk
/// over `dims`.
fn find(
    run: &mut Run<'_>,
    kernels: &'static Kernels,
    x: &Tensor,
    dims: &[usize],
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let params = ReduceParams::new(kernels.by_group.name, x, dims, values)?;
    // Nothing reads places before parts are merged.
    find_parts(run, kernels, params, [x, x, values, indices])
}

fn find_parts(
    run: &mut Run<'_>,
    kernels: &'static Kernels,
    mut params: ReduceParams,
    tensors: [&Tensor; 4],
) -> Result<()> {
    let [x, places, values, indices] = tensors;
    let variant = x.dtype().storage_variant();
    let (kernel, lie) = kernels.choose(run, &mut params);
    if params.splits == 1 {
        run.dispatch(kernel, variant, &[x, places, values, indices], &params);
        return Ok(());
    }
    let (part_values, dim) = lie.memory(run, &params, x.dtype());
    let (part_indices, _) = lie.memory(run, &params, DType::I32);
    run.dispatch(kernel, variant, &[x, places, &part_values, &part_indices], &params);
    let mut merge = ReduceParams::new(kernels.by_group.name, &part_values, &[dim], values)?;
    merge.merging = 1;
    find_parts(run, kernels, merge, [&part_values, &part_indices, values, indices])
}

fn along_dim(call: &mut Call<'_>, kernels: &'static Kernels) -> Result<Outputs> {
    let x = call.input(0);
    let dims = dim_indices(call.op(), &[call.attrs().get_int("dim")], x.dim())?;
    refuse_empty(call.op(), x.shape(), &dims)?;
    let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
    let (values, indices) = (call.output(x.dtype(), &shape), call.output(DType::I32, &shape));
    find(call, kernels, x, &dims, &values, &indices)?;
    call.save(&indices);
    Ok(smallvec![values, indices])
}

fn positions(call: &mut Call<'_>, kernels: &'static Kernels) -> Result<Outputs> {
    let x = call.input(0);
    let dims = match call.attrs().get("dim") {
        Some(_) => dim_indices(call.op(), &[call.attrs().get_int("dim")], x.dim())?,
        None => dim_indices(call.op(), &[], x.dim())?,
    };
    refuse_empty(call.op(), x.shape(), &dims)?;
    let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
    let (values, indices) = (call.output(x.dtype(), &shape), call.output(DType::I32, &shape));
    find(call, kernels, x, &dims, &values, &indices)?;
    Ok(smallvec![indices])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (shape, indices) = (v.input_shape(0), v.saved(0));
    let g = v.gradient().try_contiguous()?;
    let dim = dim_index("max_dim", v.attrs().get_int("dim"), shape.len())?;
    let dx = v.gradient_output(0);
    let params = TakenParams {
        n: numel(shape) as u32,
        size: shape.get(dim).copied().unwrap_or(1) as u32,
        inner: numel(&shape[(dim + 1).min(shape.len())..]) as u32,
        g_offset: g.offset() as u32,
        result_offset: dx.offset() as u32,
    };
    v.dispatch(&BACKWARD, 0, &[&g, &indices, &dx], &params);
    Ok(smallvec![Some(dx)])
}

/// `values`: whether the operation gives them too, and so always takes a dim.
fn dim_cases(values: bool) -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let attrs = |dim, keepdim| Attrs::new().int("dim", dim).bool("keepdim", keepdim);
    let floats = |shape: &[usize]| Input::floats(shape).fill(Fill::Distinct);
    let one = |name: &str, input: Input, dim| Case::new(name, vec![input]).attrs(attrs(dim, false));
    let words = |shape: &[usize]| Input::ints(shape, 0, 1 << 32).dtype(DType::U32);
    let mut list = vec![
        one("last", floats(&[4, 6]), -1),
        one("first", floats(&[5, 3]), 0),
        Case::new("middle", vec![floats(&[2, 5, 3])]).attrs(attrs(1, true)),
        one("0-d", floats(&[]), 0),
        one("one", floats(&[1, 1]), 1),
        one("empty result", floats(&[0, 3]), 1),
        one("transposed", floats(&[5, 3]).arranged(Arrangement::Transposed), 1),
        one("strided", floats(&[3, 7]).arranged(Arrangement::Strided), 1),
        one("expanded", floats(&[3, 4]).arranged(Arrangement::Expanded), 1),
        one("ties", Input::floats(&[6, 90]).fill(Fill::Whole(0, 3)), 1).no_gradcheck(),
        one("all ties", Input::floats(&[2, 70]).fill(Fill::Values(&[0.0, -0.0])), 1).no_gradcheck(),
        one("losers", Input::floats(&[2, 70]).fill(Fill::Values(&[f64::NEG_INFINITY])), 1).no_gradcheck(),
        one("unbounded", Input::floats(&[2, 70]).fill(Fill::Values(&[f64::INFINITY])), 1).no_gradcheck(),
        one("extreme", Input::floats(&[17, 2]).fill(EXTREME), 1).no_gradcheck(),
        one("long", floats(&[3, 1000]), 1).no_gradcheck(),
        one("longer", floats(&[2, 40_000]), 1).no_gradcheck(),
        one("longest", Input::floats(&[1, 300_001]).fill(Fill::Whole(0, 50)), 1).no_gradcheck(),
        one("many", floats(&[700, 3]), 1).no_gradcheck(),
        one("i32", Input::ints(&[3, 70], -90, 90), 1),
        one("i32 ends", Input::ints(&[70, 2], i64::from(i32::MIN), i64::from(i32::MAX)), 0),
        one("u32", words(&[70, 3]), 0),
        one("u32 longer", words(&[1, 40_000]), 1),
        one("rows by fours", floats(&[70, 12]), 1).no_gradcheck(),
        one("long rows by fours", floats(&[3, 5_000]), 1).no_gradcheck(),
        one("columns by fours", floats(&[7, 3, 8]), 0),
        one("columns inside by fours", floats(&[3, 7, 12]), 1).no_gradcheck(),
        one("long columns by fours", Input::floats(&[20_003, 8]).fill(Fill::Whole(0, 50)), 0).no_gradcheck(),
        one("ties by fours", Input::floats(&[6, 92]).fill(Fill::Whole(0, 3)), 1).no_gradcheck(),
        one("ties in columns", Input::floats(&[92, 8]).fill(Fill::Whole(0, 3)), 0).no_gradcheck(),
        one("all ties by fours", Input::floats(&[2, 72]).fill(Fill::Values(&[0.0, -0.0, -0.0])), 1).no_gradcheck(),
        one("losers by fours", Input::floats(&[2, 72]).fill(Fill::Values(&[f64::NEG_INFINITY])), 1).no_gradcheck(),
        one("extreme rows by fours", Input::floats(&[17, 8]).fill(EXTREME), 1).no_gradcheck(),
        one("extreme columns by fours", Input::floats(&[3, 20]).fill(EXTREME), 0).no_gradcheck(),
        one("i32 by fours", Input::ints(&[3, 72], -90, 90), 1),
        one("i32 columns", Input::ints(&[72, 8], -90, 90), 0),
        one("u32 losers by fours", Input::ints(&[3, 72], 0, 1).dtype(DType::U32), 1),
        one("u32 columns", words(&[70, 8]), 0),
        one("bad dim", floats(&[2, 3]), 2).fails(),
        one("nothing", floats(&[0, 3]), 0).fails(),
    ];
    if values {
        return list;
    }
    let all =
        |name: &str, shape: &[usize]| Case::new(name, vec![floats(shape)]).attrs(Attrs::new().bool("keepdim", false));
    list.extend([
        all("all", &[4, 6]),
        all("all of one", &[]),
        all("all longer", &[3, 7_000]),
        all("none", &[0]).fails(),
    ]);
    list.into_iter().map(Case::no_gradcheck).collect()
}

fn with_places(operation: &'static Operation, x: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    pair(apply(operation, &[x], Attrs::new().int("dim", dim).bool("keepdim", keepdim)))
}

fn position(operation: &'static Operation, x: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    let attrs = Attrs::new().bool("keepdim", keepdim);
    let attrs = match dim {
        Some(dim) => attrs.int("dim", dim),
        None => attrs,
    };
    crate::ops::single(apply(operation, &[x], attrs))
}

methods! {
    /// The largest elements along a dim, and their positions in it (i32): PyTorch's `max(dim)`. Of equal elements the
    /// first is taken and gets the whole gradient; a NaN comes before every number.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 9.0, 0.0, 9.0], &[2, 3]);
    /// let (values, indices) = x.max_dim(1, false);
    /// assert_eq!(values.to_vec::<f32>()?, [5.0, 9.0]);
    /// assert_eq!(indices.to_vec::<i32>()?, [1, 0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist or has no elements.
    pub fn max_dim / try_max_dim (&self, dim: i64, keepdim: bool) -> (Tensor, Tensor) {
        with_places(&MAX_DIM, self, dim, keepdim)
    }

    /// The smallest elements along a dim, and their positions in it: [`Self::max_dim`] turned round, PyTorch's `min(dim)`.
    ///
    /// # Panics
    /// As [`Self::max_dim`].
    pub fn min_dim / try_min_dim (&self, dim: i64, keepdim: bool) -> (Tensor, Tensor) {
        with_places(&MIN_DIM, self, dim, keepdim)
    }

    /// The positions (i32) of the largest elements along a dim; without one, the position of the largest of all
    /// elements, counted row by row. Of equal elements the first is taken, and a NaN before every number.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 9.0, 0.0, 9.0], &[2, 3]);
    /// assert_eq!(x.argmax(Some(-1), false).to_vec::<i32>()?, [1, 0]);
    /// assert_eq!(x.argmax(None, false).item::<i32>()?, 3);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist, or there are no elements.
    pub fn argmax / try_argmax (&self, dim: Option<i64>, keepdim: bool) -> Tensor {
        position(&ARGMAX, self, dim, keepdim)
    }

    /// The positions (i32) of the smallest elements: [`Self::argmax`] turned round.
    ///
    /// # Panics
    /// As [`Self::argmax`].
    pub fn argmin / try_argmin (&self, dim: Option<i64>, keepdim: bool) -> Tensor {
        position(&ARGMIN, self, dim, keepdim)
    }
}
