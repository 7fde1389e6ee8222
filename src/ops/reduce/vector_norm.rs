//! Vector norms over any dims: `y = (Σ|x|ᵖ)^(1/p)`, the largest magnitude for p = ∞, the smallest for −∞, and the number of
//! elements that are not 0 for p = 0. `dx = g·sign(x)·(|x|/y)^(p−1)`, 0 where the norm is 0; for p = ±∞ the gradient is
//! shared evenly among the elements that equal the norm.
//!
//! <https://pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html>

use smallvec::smallvec;

use super::{Kernels, Parts, ReduceParams, TWICE, X_TO_Y, reduce_kernels, reduced_shape, refuse_empty};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Item, Kernel, Params, ParamsLayout, Variant};
use crate::ops::elementwise::{ElementwiseParams, grid};
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::dim_indices;
use crate::{Error, Result};

const MATHS: &str = include_str!("../../../shaders/reduce/vector_norm.wgsl");

static KERNELS: Kernels = reduce_kernels!("vector_norm", TWICE, MATHS, X_TO_Y, KINDS, twin, |params, _| bound(params));

static BACKWARD: Kernel = Kernel {
    name: "vector_norm_backward.main",
    source: &[include_str!("../../../shaders/reduce/vector_norm_backward.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Read("y"), Binding::Read("g"), Binding::Write("dx")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: KINDS,
    grid,
    reference: backward_twin,
    // A division (2.5), a power (3), whose error in its base counts p − 1 times, and a product; or two powers and products.
    bound: |p| {
        let exponent = f64::from(f32::from_bits(p.get::<ElementwiseParams>().scalars[0]));
        Bound::ulps(7.0 + 2.5 * exponent.abs())
    },
};

const FLOAT: Item = Item::Alias("elem", "f32");

/// How norms are computed, each in text of its own: software drivers run both sides of a branch.
const KINDS: &[Variant] = &[
    Variant::new("count", &[FLOAT, Item::Const("KIND", 0)]),
    Variant::new("sum", &[FLOAT, Item::Const("KIND", 1)]),
    Variant::new("squares", &[FLOAT, Item::Const("KIND", 2)]),
    Variant::new("largest", &[FLOAT, Item::Const("KIND", 3)]),
    Variant::new("smallest", &[FLOAT, Item::Const("KIND", 4)]),
    Variant::new("powers", &[FLOAT, Item::Const("KIND", 5)]),
];

/// The position of a norm's way in [`KINDS`].
fn kind(p: f64) -> usize {
    match p {
        0.0 => 0,
        1.0 => 1,
        2.0 => 2,
        f64::INFINITY => 3,
        f64::NEG_INFINITY => 4,
        _ => 5,
    }
}

/// Terms are good to 3 ulps of a power and 2.5 of a division p times; the root divides what they and the sum's additions
/// amount to by p, and has its own errors, one of them from 1 / p being rounded.
fn bound(params: &Params<'_>) -> Bound {
    let params: &ReduceParams = params.get();
    let (part, p) = (f64::from(params.part), f64::from(params.scale).abs());
    let p = if kind(f64::from(params.scale)) == 5 { p } else { 1.0 };
    Bound::ulps(8.0 + (4.0 + part.sqrt() + part.ln()) / p)
}

fn twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    let params: &ReduceParams = call.params();
    let p = f64::from(params.scale);
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for part in parts.all(params) {
        let sizes = part.places(params).map(|at| x[at].abs());
        let nan = sizes.clone().any(f64::is_nan);
        let norm = match call.variant() {
            0 => sizes.filter(|&v| v != 0.0).count() as f64,
            _ if nan => f64::NAN,
            1 => sizes.sum(),
            2 => sizes.map(|v| v * v).sum::<f64>().sqrt(),
            3 => sizes.fold(0.0, f64::max),
            4 => sizes.fold(f64::INFINITY, f64::min),
            _ => power_norm(sizes, p),
        };
        y[part.at(params)] = norm;
    }
    Ok(())
}

/// Powers even of `f64` leave its range: they are taken of shares of the magnitude that decides.
fn power_norm(sizes: impl Iterator<Item = f64> + Clone, p: f64) -> f64 {
    let unit = match p > 0.0 {
        true => sizes.clone().fold(0.0, f64::max),
        false => sizes.clone().fold(f64::INFINITY, f64::min),
    };
    if unit == 0.0 || unit.is_infinite() {
        return unit;
    }
    unit * sizes.map(|v| (v / unit).powf(p)).sum::<f64>().powf(1.0 / p)
}

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let exponent = f64::from(f32::from_bits(p.scalars[0]));
    let (x, y, g, mut dx) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
    for i in 0..p.n {
        let (v, norm, upstream) = (x[p.operand(i, 0)], y[p.operand(i, 1)], g[p.operand(i, 2)]);
        let signed = if v == 0.0 { 0.0 } else { v.signum() * upstream };
        dx[p.result(i)] = match call.variant() {
            _ if v.is_nan() => f64::NAN,
            1 => signed,
            3 | 4 if v.abs() == norm => signed,
            0 | 3 | 4 => 0.0,
            _ if norm == 0.0 => 0.0,
            2 => upstream * (v / norm),
            _ if v == 0.0 => 0.0,
            _ => signed * (v.abs() / norm).powf(exponent),
        };
    }
    Ok(())
}

/// The operation `norm`.
pub(crate) static NORM: Operation = Operation {
    name: "norm",
    kernels: &[
        &KERNELS.by_thread,
        &KERNELS.by_group,
        &KERNELS.rows_by_thread,
        &KERNELS.rows_by_group,
        &KERNELS.by_columns,
        &BACKWARD,
    ],
    forward,
    vjp: Some(vjp),
    cases,
};

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, p) = (call.input(0), call.attrs().get_float("p"));
    check_floats(call.op(), &[x])?;
    if p.is_nan() {
        return Err(Error::argument(call.op(), "the order p is no number"));
    }
    let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
    if p < 0.0 || p.is_infinite() {
        refuse_empty(call.op(), x.shape(), &dims)?;
    }
    let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
    let y = call.output(DType::F32, &shape);
    norm_into(call, x, &dims, p, &y)?;
    call.save(x);
    call.save(&y);
    Ok(smallvec![y])
}

fn norm_into(run: &mut Run<'_>, x: &Tensor, dims: &[usize], p: f64, y: &Tensor) -> Result<()> {
    let mut params = ReduceParams::new("norm", x, dims, y)?;
    params.scale = p as f32;
    let (kernel, lie) = KERNELS.choose(run, &mut params);
    if params.splits == 1 {
        run.dispatch(kernel, kind(p), &[x, y], &params);
        return Ok(());
    }
    params.result_offset = 0;
    let (parts, dim) = lie.memory(run, &params, DType::F32);
    run.dispatch(kernel, kind(p), &[x, &parts], &params);
    // The norm of the parts' norms; numbers of elements are added.
    norm_into(run, &parts, &[dim], if p == 0.0 { 1.0 } else { p }, y)
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (x, y, p) = (v.saved(0), v.saved(1), v.attrs().get_float("p"));
    let dims = dim_indices("norm", v.attrs().get_ints("dim"), x.dim())?;
    let kept = reduced_shape(x.shape(), &dims, true);
    let wide = |t: &Tensor| t.try_reshape(&kept[..]);
    let (y, mut g) = (wide(&y)?, wide(v.gradient())?);
    if p.is_infinite() {
        let ties = x.try_abs()?.try_eq(&y)?.try_to_dtype(DType::F32)?;
        let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
        let count = if x.dim() == 0 { ties } else { ties.try_sum_dims(&dims, true)? };
        g = g.try_div(&count)?;
    }
    let dx = v.gradient_output(0);
    let mut params = ElementwiseParams::new("norm", x.shape(), &[&x, &y, &g], &dx)?;
    params.scalars[0] = if kind(p) == 5 { ((p - 1.0) as f32).to_bits() } else { 0 };
    v.dispatch(&BACKWARD, kind(p), &[&x, &y, &g, &dx], &params);
    Ok(smallvec![Some(dx)])
}

fn attrs(p: f64, dims: &[i64], keepdim: bool) -> Attrs {
    Attrs::new().float("p", p).ints("dim", dims).bool("keepdim", keepdim)
}

fn cases() -> Vec<cases::Case> {
    use cases::{AWAY_FROM_ZERO, Arrangement, Case, EXTREME, Fill, Input};
    let input = |shape: &[usize]| Input::floats(shape).fill(AWAY_FROM_ZERO);
    let case = |name: &str, input: Input, attrs| Case::new(name, vec![input]).attrs(attrs);
    let (inf, minus) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut list = vec![
        case("all", input(&[4, 6]), attrs(2.0, &[], false)),
        case("first", input(&[5, 3]), attrs(2.0, &[0], true)),
        case("around", input(&[2, 3, 4]), attrs(3.0, &[0, 2], false)),
        case("0-d", input(&[]), attrs(2.0, &[], false)),
        case("transposed", input(&[5, 3]).arranged(Arrangement::Transposed), attrs(2.0, &[1], false)),
        case("strided", input(&[3, 7]).arranged(Arrangement::Strided), attrs(1.5, &[1], false)),
        case("nothing", input(&[0, 3]), attrs(2.0, &[0], false)).no_gradcheck(),
        case("empty result", input(&[0, 3]), attrs(2.0, &[1], false)).no_gradcheck(),
        case("largest", input(&[3, 7]).fill(Fill::Distinct), attrs(inf, &[1], false)),
        case("smallest", input(&[3, 7]).fill(Fill::Distinct), attrs(minus, &[1], false)),
        case("ties", input(&[3, 6]).fill(Fill::Values(&[2.0, -2.0, 1.0, -1.0])), attrs(inf, &[1], false))
            .no_gradcheck(),
        case("nothing has no largest", input(&[0, 3]), attrs(inf, &[0], false)).fails(),
        case("not a number", input(&[3]), attrs(f64::NAN, &[0], false)).fails(),
        case("bad dim", input(&[2, 3]), attrs(2.0, &[2], false)).fails(),
        Case::new("i32", vec![Input::ints(&[2, 3], 0, 5)]).attrs(attrs(2.0, &[], false)).fails(),
    ];
    let eight_dims = input(&[2, 4, 8, 8, 8, 8, 8, 2]).arranged(Arrangement::Transposed);
    list.push(case("eight dims", eight_dims, attrs(2.0, &[], false)).no_gradcheck());
    let zeros = Fill::Values(&[0.0, 3.0, -4.0, 0.0, 0.0]);
    for p in [0.0, 1.0, 2.0, inf, minus, 0.5, 1.5, 3.0, 40.0, -2.1] {
        let along = || attrs(p, &[1], false);
        if p != 0.0 && p.is_finite() {
            list.push(case(&format!("p {p}"), input(&[3, 5]), along()));
        }
        let apart = [
            ("long", input(&[3, 1000])),
            ("longer", input(&[2, 40_000])),
            ("many", input(&[700, 3])),
            ("huge", input(&[3, 70]).fill(Fill::Uniform(1e30, 3e30))),
            ("tiny", input(&[3, 70]).fill(Fill::Uniform(1e-30, 3e-30))),
            ("extreme", input(&[17, 2]).fill(EXTREME)),
            ("extreme by fours", input(&[17, 8]).fill(EXTREME)),
            ("huge by fours", input(&[3, 72]).fill(Fill::Uniform(1e30, 3e30))),
            ("columns by fours", input(&[3, 70, 8])),
            ("long columns", input(&[1, 5_003, 8])),
            ("extreme columns", input(&[17, 3, 4]).fill(EXTREME)),
            ("columns with zeros", input(&[1, 2, 4]).fill(zeros)),
            ("with zeros", input(&[2, 5]).fill(zeros)),
            ("nothing but zeros", input(&[2, 3]).fill(Fill::Values(&[0.0]))),
        ];
        list.extend(apart.into_iter().map(|(name, x)| case(&format!("{name}, p {p}"), x, along()).no_gradcheck()));
    }
    list
}

methods! {
    /// The p-norm over some dims, all of them if the list is empty: for p = 2 the root of the sum of squares, for p = ∞ the
    /// largest magnitude, for −∞ the smallest, for p = 0 the number of elements that are not 0. `keepdim` leaves the dims
    /// with size 1. Squares of large or small numbers do not leave the range.
    ///
    /// The gradient at 0 is 0. For p = 0 there is none.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3e30f32, -4e30], &[2]);
    /// assert_eq!(x.norm(2.0, &[], false).item::<f32>()?, 5e30);
    /// assert_eq!(x.norm(f64::INFINITY, &[], false).item::<f32>()?, 4e30);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When a dim does not exist, the elements are not floats, or there are none and p is negative or infinite.
    pub fn norm / try_norm (&self, p: f64, dims: &[i64], keepdim: bool) -> Tensor {
        let norm = single(apply(&NORM, &[self], attrs(p, dims, keepdim)))?;
        // A number of elements is no function of them that could be differentiated, as in PyTorch.
        Ok(if p == 0.0 { norm.detach() } else { norm })
    }
}
