//! `softmax` and `log_softmax` along a dim, with m the largest element of a row and s = Σ exp(x_j − m):
//!
//! `y_j = exp(x_j − m) / s`, `dx_j = y_j·(g_j − Σ g_i·y_i)`;
//! `y_j = (x_j − m) − log s`, `dx_j = g_j − exp(y_j)·Σ g_i`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html>

use smallvec::smallvec;

use super::matmul::check_floats;
use super::reduce::{BY_ROWS, FAMILY, ReduceParams};
use super::tune::with_fastest;
use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::dtype::DType;
use crate::engine::kernel::Operands;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, Params, ParamsLayout, Variant, WORKGROUP};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};
use crate::{Error, Result};

const PROBABILITIES: &[Variant] = &[Variant::new("", &[Item::Const("LOG", 0)])];
const LOGARITHMS: &[Variant] = &[Variant::new("", &[Item::Const("LOG", 1)])];

macro_rules! softmax_kernel {
    ($file:literal, $name:literal, $entry:literal, $bindings:expr, $variants:expr, $grid:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: concat!($name, ".", $entry),
            source: &[include_str!(concat!("../../shaders/", $file, ".wgsl"))],
            entry: $entry,
            bindings: &$bindings,
            params: ParamsLayout::of::<ReduceParams>(),
            variants: $variants,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}

/// The kernels of one direction.
struct Ways {
    by_thread: Kernel,
    by_group: Kernel,
    /// In the place of `by_thread` for rows of whole vectors, several times as fast on lavapipe.
    by_quads: Kernel,
}

/// The kernels of one of the two operations.
struct Kernels {
    forward: Ways,
    backward: Ways,
}

macro_rules! softmax_ways {
    (
        $name:literal, [$by_thread:literal, $by_group:literal, $by_quads:literal], $bindings:expr,
        $variants:expr, $twin:expr, $bound:expr
    ) => {
        Ways {
            by_thread: softmax_kernel!(
                "softmax",
                $name,
                $by_thread,
                $bindings,
                $variants,
                grid_by_thread,
                $twin,
                $bound
            ),
            by_group: softmax_kernel!("softmax", $name, $by_group, $bindings, $variants, grid_by_group, $twin, $bound),
            by_quads: softmax_kernel!(
                "softmax_quads",
                $name,
                $by_quads,
                $bindings,
                $variants,
                grid_by_quads,
                $twin,
                $bound
            ),
        }
    };
}

macro_rules! softmax_kernels {
    ($name:literal, $variants:expr, $twin:expr, $bound:expr, $backward:expr, $backward_bound:expr) => {
        Kernels {
            forward: softmax_ways!(
                $name,
                ["by_thread", "by_group", "by_quads"],
                [Binding::Read("x"), Binding::Write("y")],
                $variants,
                $twin,
                $bound
            ),
            backward: softmax_ways!(
                $name,
                ["backward_by_thread", "backward_by_group", "backward_by_quads"],
                [Binding::Read("g"), Binding::Read("result"), Binding::Write("dx")],
                $variants,
                $backward,
                $backward_bound
            ),
        }
    };
}

static SOFTMAX_KERNELS: Kernels = softmax_kernels!(
    "softmax",
    PROBABILITIES,
    |call| forward_twin(call, |distance, sum| distance.exp() / sum),
    // The distance is rounded to half an ulp of itself, which counts as much in its exponential; an ulp for that, 2.5 for
    // the division, and the sum's.
    |p| Bound::Scaled {
        ulps: 4.0 + f64::from(p.get::<ReduceParams>().r).sqrt(),
        magnitude: |call| { forward_twin(call, |d, sum| if d.is_finite() { d.exp() / sum * (1.0 - d) } else { 0.0 }) },
    },
    |call| backward_twin(call, |g, y, sum| y * (g - sum), |g, y| g * y),
    |p| Bound::Scaled {
        ulps: 4.0 + f64::from(p.get::<ReduceParams>().r).sqrt(),
        magnitude: |call| { backward_twin(call, |g, y, sum| y.abs() * (g.abs() + sum), |g, y| (g * y).abs()) },
    }
);

static LOG_SOFTMAX_KERNELS: Kernels = softmax_kernels!(
    "log_softmax",
    LOGARITHMS,
    |call| forward_twin(call, |distance, sum| distance - sum.ln()),
    // Both terms have one sign, so nothing cancels; the error of the sum counts in its logarithm as it is.
    |p| Bound::Relative { ulps: 4.0 + f64::from(p.get::<ReduceParams>().r).sqrt(), floor: 1.0 },
    |call| backward_twin(call, |g, y, sum| g - y.exp() * sum, |g, _| g),
    |p| Bound::Scaled {
        ulps: 4.0 + f64::from(p.get::<ReduceParams>().r).sqrt(),
        magnitude: |call| backward_twin(call, |g, y, sum| g.abs() + y.exp() * sum, |g, _| g.abs()),
    }
);

fn grid_by_thread(params: &Params<'_>) -> Grid {
    let p: &ReduceParams = params.get();
    Grid::elements(p.n).work(u64::from(p.n) * u64::from(p.r) * 60)
}

fn grid_by_quads(params: &Params<'_>) -> Grid {
    /// `ROWS` of `softmax_quads.wgsl`.
    const ROWS: u32 = 32;
    let groups = params.get::<ReduceParams>().n.div_ceil(ROWS);
    Grid::groups(u64::from(groups)).work(grid_by_thread(params).work)
}

fn grid_by_group(params: &Params<'_>) -> Grid {
    let p: &ReduceParams = params.get();
    Grid::groups(u64::from(p.n)).work(u64::from(p.n) * u64::from(p.r.max(WORKGROUP)) * 60)
}

/// Where element `j` of a row of a contiguous tensor lies.
fn place(p: &ReduceParams, row: u32, j: u32) -> usize {
    (row / p.inner * p.r * p.inner + j * p.inner + row % p.inner) as usize
}

/// `element`: from the distance to the largest of a row and the row's sum.
fn forward_twin(call: &HostCall<'_>, element: fn(f64, f64) -> f64) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for row in 0..p.n {
        let base = p.output_base(row);
        let largest = (0..p.r).map(|j| x[base + p.element_offset(j)]).fold(f64::NEG_INFINITY, f64::max);
        let distance = |j: u32| x[base + p.element_offset(j)] - largest;
        let sum: f64 = (0..p.r).map(|j| distance(j).exp()).sum();
        for j in 0..p.r {
            // Both infinities at once leave their distance undefined, and so the sum.
            let v = if sum.is_nan() { f64::NAN } else { element(distance(j), sum) };
            y[p.result_offset as usize + place(p, row, j)] = v;
        }
    }
    Ok(())
}

/// `element`: from the gradient, the result and the row's sum of `term`s of both.
fn backward_twin(call: &HostCall<'_>, element: fn(f64, f64, f64) -> f64, term: fn(f64, f64) -> f64) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (g, y, mut dx) = (call.floats(0), call.floats(1), call.floats_mut(2));
    for row in 0..p.n {
        let pair = |j: u32| (g[p.offset as usize + place(p, row, j)], y[place(p, row, j)]);
        let sum: f64 = (0..p.r).map(pair).map(|(g, y)| term(g, y)).sum();
        for j in 0..p.r {
            let (g, y) = pair(j);
            dx[p.result_offset as usize + place(p, row, j)] = element(g, y, sum);
        }
    }
    Ok(())
}

/// Elements of a row that a thread takes alone on a GPU, where threads of a row read neighbours together.
const SHORT: u32 = 32;

/// Elements of a row that a thread takes alone at most: three loops over it stay far below the 65,535 iterations after
/// which lavapipe ends all loops of a shader.
const MOST_OF_THREAD: u32 = 8_192;

/// Elements of a row that a workgroup takes at most on such a driver, for the same reason.
const MOST_OF_GROUP: u32 = 1 << 20;

/// Whether a thread each takes rows of `len` elements that lie `inner` apart, and not a workgroup each.
pub(crate) fn by_thread(op: &'static str, run: &Run<'_>, rows: u32, len: u32, inner: u32) -> Result<bool> {
    let software = run.device().adapter().is_some_and(|facts| facts.is_software());
    if software && len > MOST_OF_GROUP {
        let detail = format!("a row of {len} elements; on a software driver the most are {MOST_OF_GROUP}");
        return Err(Error::Limit { op, detail });
    }
    Ok(len <= MOST_OF_THREAD
        && match run.device().forced_choice(FAMILY.0) {
            Some("by_thread") => true,
            Some("by_group") => false,
            // Barriers are dear on a processor. Neighbouring threads read neighbours where the dim is not the last.
            _ => len <= SHORT || (software && rows >= 16) || (inner >= 32 && rows >= 16_384),
        })
}

/// The operation `softmax`.
pub(crate) static SOFTMAX: Operation = Operation {
    name: "softmax",
    kernels: &[
        &SOFTMAX_KERNELS.forward.by_thread,
        &SOFTMAX_KERNELS.forward.by_group,
        &SOFTMAX_KERNELS.forward.by_quads,
        &SOFTMAX_KERNELS.backward.by_thread,
        &SOFTMAX_KERNELS.backward.by_group,
        &SOFTMAX_KERNELS.backward.by_quads,
    ],
    forward: |call| forward(call, &SOFTMAX_KERNELS),
    vjp: Some(|v| vjp(v, &SOFTMAX_KERNELS)),
    cases: softmax_cases,
};

/// The operation `log_softmax`.
pub(crate) static LOG_SOFTMAX: Operation = Operation {
    name: "log_softmax",
    kernels: &[
        &LOG_SOFTMAX_KERNELS.forward.by_thread,
        &LOG_SOFTMAX_KERNELS.forward.by_group,
        &LOG_SOFTMAX_KERNELS.forward.by_quads,
        &LOG_SOFTMAX_KERNELS.backward.by_thread,
        &LOG_SOFTMAX_KERNELS.backward.by_group,
        &LOG_SOFTMAX_KERNELS.backward.by_quads,
    ],
    forward: |call| forward(call, &LOG_SOFTMAX_KERNELS),
    vjp: Some(|v| vjp(v, &LOG_SOFTMAX_KERNELS)),
    cases: softmax_cases,
};

fn params(op: &'static str, attrs: &Attrs, x: &Tensor, y: &Tensor) -> Result<ReduceParams> {
    let dims = dim_indices(op, &[attrs.get_int("dim")], x.dim())?;
    let mut params = ReduceParams::new(op, x, &dims, y)?;
    params.inner = dims.first().map_or(1, |d| numel(&x.shape()[d + 1..])).max(1) as u32;
    Ok(params)
}

/// Whether the rows are whole vectors of four, here and in the result, where they lie one behind the other.
fn fours(params: &ReduceParams) -> bool {
    params.inner == 1 && params.result_offset.is_multiple_of(4) && params.is_in_quads()
}

/// Runs the kernel that suits, or the one that was measured to be the fastest.
fn dispatch(
    run: &mut Run<'_>,
    op: &'static str,
    ways: &'static Ways,
    inputs: &[&Tensor],
    result: &Tensor,
    params: ReduceParams,
) -> Result<()> {
    let key = || params.key(ways.by_group.name, DType::F32);
    with_fastest(run, BY_ROWS, key, result, |run, result| {
        let params = ReduceParams { result_offset: result.offset() as u32, ..params };
        let kernel = match by_thread(op, run, params.n, params.r, params.inner)? {
            true if fours(&params) => &ways.by_quads,
            true => &ways.by_thread,
            false => &ways.by_group,
        };
        let operands: Operands<&Tensor> = inputs.iter().copied().chain([result]).collect();
        run.dispatch(kernel, 0, &operands, &params);
        Ok(())
    })
}

fn forward(call: &mut Call<'_>, kernels: &'static Kernels) -> Result<Outputs> {
    let x = call.input(0);
    check_floats(call.op(), &[x])?;
    let y = call.output(DType::F32, x.shape());
    let params = params(call.op(), call.attrs(), x, &y)?;
    if x.numel() > 0 {
        let op = call.op();
        dispatch(call, op, &kernels.forward, &[x], &y, params)?;
    }
    call.save(&y);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>, kernels: &'static Kernels) -> Result<Gradients> {
    let y = v.saved(0);
    let g = v.gradient().try_contiguous()?;
    let dx = v.gradient_output(0);
    let params = params("softmax", v.attrs(), &g, &dx)?;
    if y.numel() > 0 {
        dispatch(v, "softmax", &kernels.backward, &[&g, &y], &dx, params)?;
    }
    Ok(smallvec![Some(dx)])
}

fn softmax_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let floats = |shape: &[usize]| Input::floats(shape);
    let case = |name: &str, input: Input, dim| Case::new(name, vec![input]).attrs(Attrs::new().int("dim", dim));
    let masked = Fill::Values(&[0.5, f64::NEG_INFINITY, -1.0, 2.0, f64::NEG_INFINITY]);
    vec![
        case("typical", floats(&[4, 6]), -1),
        case("first", floats(&[5, 3]), 0),
        case("middle", floats(&[2, 5, 3]), 1),
        case("odd", floats(&[3, 5, 7]), 2),
        case("0-d", floats(&[]), 0),
        case("one", floats(&[3, 1]), 1),
        case("small", floats(&[3, 8]).fill(cases::SMALL_SHARES), 1).upstream(cases::SMALL_UPSTREAM).no_gradcheck(),
        case("empty", floats(&[0, 3]), 1),
        case("empty rows", floats(&[3, 0]), 1),
        case("transposed", floats(&[5, 3]).arranged(Arrangement::Transposed), 1),
        case("strided", floats(&[2, 3, 4]).arranged(Arrangement::Strided), 1),
        case("expanded", floats(&[3, 4]).arranged(Arrangement::Expanded), 0),
        case("quads", floats(&[37, 8]), 1),
        case("one row of quads", floats(&[3, 4]).arranged(Arrangement::Expanded), 1),
        case("long", floats(&[3, 1000]), 1).no_gradcheck(),
        case("longer", floats(&[2, 20_000]), 1).no_gradcheck(),
        case("long columns", floats(&[500, 9]), 0).no_gradcheck(),
        case("many", floats(&[700, 3]), 1).no_gradcheck(),
        case("huge", floats(&[7, 90]).fill(Fill::Uniform(-1e4, 1e4)), 1).no_gradcheck(),
        case("masked", floats(&[3, 5]).fill(masked), 1).no_gradcheck(),
        case("masked quads", floats(&[3, 8]).fill(masked), 1).no_gradcheck(),
        case("all masked", floats(&[2, 70]).fill(Fill::Values(&[f64::NEG_INFINITY])), 1).no_gradcheck(),
        case("extreme quads", floats(&[17, 4]).fill(EXTREME), 1).no_gradcheck(),
        case("extreme", floats(&[17, 3]).fill(EXTREME), 1).no_gradcheck(),
        case("bad dim", floats(&[2, 3]), 2).fails(),
        case("i32", Input::ints(&[2, 3], 0, 5), 1).fails(),
    ]
}

methods! {
    /// The exponentials of the elements, each divided by the sum of those along the dim: positive numbers that sum to 1.
    ///
    /// Elements of −∞ give 0; a row of nothing else, or with a NaN or +∞, gives NaN.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let p = Tensor::from_slice(&[0.0f32, 0.0, -1e4], &[3]).softmax(0);
    /// assert_eq!(p.to_vec::<f32>()?, [0.5, 0.5, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist, or the elements are not floats.
    pub fn softmax / try_softmax (&self, dim: i64) -> Tensor {
        single(apply(&SOFTMAX, &[self], Attrs::new().int("dim", dim)))
    }

    /// The logarithm of [`Self::softmax`], without its overflow and underflow.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[0.0f32, -1e4], &[2]).log_softmax(0);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, -1e4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::softmax`].
    pub fn log_softmax / try_log_softmax (&self, dim: i64) -> Tensor {
        single(apply(&LOG_SOFTMAX, &[self], Attrs::new().int("dim", dim)))
    }
}
