//! `normalize`: the vectors along a dim divided by their lengths, `y = x / n` with `n = max(‖x‖, ε)`; for the 2-norm
//! `dx = (g − y·Σ(g·y)) / n`, or `g / n` where n is ε. Other norms are composed of [`Tensor::norm`]. And what is measured
//! between vectors.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html>

use smallvec::smallvec;

use super::{ReduceParams, grid_by_group, grid_by_thread};
use crate::Result;
use crate::amp;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, Params, ParamsLayout, Variant};
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single, softmax};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};

macro_rules! kernel {
    ($entry:literal, [$($binding:expr),*], $grid:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: concat!("normalize.", $entry),
            source: &[include_str!("../../../shaders/reduce/normalize.wgsl")],
            entry: $entry,
            bindings: &[$($binding),*],
            params: ParamsLayout::of::<ReduceParams>(),
            variants: Variant::ONLY,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}

use Binding::{Read, Write};

static BY_THREAD: Kernel =
    kernel!("by_thread", [Read("x"), Write("y"), Write("divisor")], by_thread, forward_twin, forward_bound);
static BY_GROUP: Kernel =
    kernel!("by_group", [Read("x"), Write("y"), Write("divisor")], by_group, forward_twin, forward_bound);
static BACKWARD_BY_THREAD: Kernel = kernel!(
    "backward_by_thread",
    [Read("g"), Read("result"), Read("divided"), Write("dx")],
    by_thread,
    |call| backward_twin(call, false),
    backward_bound
);
static BACKWARD_BY_GROUP: Kernel = kernel!(
    "backward_by_group",
    [Read("g"), Read("result"), Read("divided"), Write("dx")],
    by_group,
    |call| backward_twin(call, false),
    backward_bound
);

fn by_thread(params: &Params<'_>) -> Grid {
    grid_by_thread(params).work(elements(params) * 20)
}

fn by_group(params: &Params<'_>) -> Grid {
    grid_by_group(params).work(elements(params) * 20)
}

fn elements(params: &Params<'_>) -> u64 {
    let p: &ReduceParams = params.get();
    u64::from(p.n) * u64::from(p.r.max(64))
}

/// A sum of squares, of whose error a root leaves half, the root and a division (2.5).
fn forward_bound(params: &Params<'_>) -> Bound {
    Bound::ulps(6.0 + f64::from(params.get::<ReduceParams>().r).sqrt())
}

/// A sum of products, a product, a difference and a division.
fn backward_bound(params: &Params<'_>) -> Bound {
    let r = f64::from(params.get::<ReduceParams>().r);
    Bound::Scaled { ulps: 8.0 + r.sqrt(), magnitude: |call| backward_twin(call, true) }
}

/// Where element `j` of a row of a contiguous tensor lies.
fn place(p: &ReduceParams, row: u32, j: u32) -> usize {
    (row / p.inner * p.r * p.inner + j * p.inner + row % p.inner) as usize
}

fn forward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ReduceParams = call.params();
    let eps = f64::from(p.scale);
    let (x, mut y, mut divisor) = (call.floats(0), call.floats_mut(1), call.floats_mut(2));
    for row in 0..p.n {
        let base = p.output_base(row);
        let at = |j: u32| x[base + p.element_offset(j)];
        let length = (0..p.r).map(|j| at(j) * at(j)).sum::<f64>().sqrt();
        let (length, stored) = if length < eps { (eps, -eps) } else { (length, length) };
        divisor[row as usize] = stored;
        for j in 0..p.r {
            y[p.result_offset as usize + place(p, row, j)] = at(j) / length;
        }
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &ReduceParams = call.params();
    let size = |v: f64| if magnitude { v.abs() } else { v };
    let (g, y, divisor, mut dx) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
    for row in 0..p.n {
        let pair = |j: u32| (size(g[p.offset as usize + place(p, row, j)]), size(y[place(p, row, j)]));
        let length = divisor[row as usize];
        let along = if length < 0.0 { 0.0 } else { (0..p.r).map(pair).map(|(g, y)| g * y).sum() };
        for j in 0..p.r {
            let (g, y) = pair(j);
            let d = if magnitude { g + y * along } else { g - y * along };
            dx[p.result_offset as usize + place(p, row, j)] = d / length.abs();
        }
    }
    Ok(())
}

/// The operation `normalize`, by the 2-norm.
pub(crate) static NORMALIZE: Operation = Operation {
    name: "normalize",
    kernels: &[&BY_THREAD, &BY_GROUP, &BACKWARD_BY_THREAD, &BACKWARD_BY_GROUP],
    forward,
    vjp: Some(vjp),
    cases,
};

fn params(attrs: &Attrs, x: &Tensor, y: &Tensor) -> Result<ReduceParams> {
    let dims = dim_indices("normalize", &[attrs.get_int("dim")], x.dim())?;
    let mut params = ReduceParams::new("normalize", x, &dims, y)?;
    params.inner = dims.first().map_or(1, |&d| numel(&x.shape()[d + 1..])).max(1) as u32;
    params.scale = attrs.get_float("eps") as f32;
    Ok(params)
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    check_floats(call.op(), &[x])?;
    let y = call.output(DType::F32, x.shape());
    let params = params(call.attrs(), x, &y)?;
    let divisor = call.output(DType::F32, &[params.n as usize]);
    if x.numel() > 0 {
        let alone = softmax::by_thread(call.op(), call, params.n, params.r, params.inner)?;
        let kernel = if alone { &BY_THREAD } else { &BY_GROUP };
        call.dispatch(kernel, 0, &[x, &y, &divisor], &params);
    }
    call.save(&y);
    call.save(&divisor);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (y, divisor) = (v.saved(0), v.saved(1));
    let g = v.gradient().try_contiguous()?;
    let dx = v.gradient_output(0);
    let params = params(v.attrs(), &g, &dx)?;
    if y.numel() > 0 {
        let alone = softmax::by_thread("normalize", v, params.n, params.r, params.inner)?;
        let kernel = if alone { &BACKWARD_BY_THREAD } else { &BACKWARD_BY_GROUP };
        v.dispatch(kernel, 0, &[&g, &y, &divisor, &dx], &params);
    }
    Ok(smallvec![Some(dx)])
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let floats = |shape: &[usize]| Input::floats(shape);
    let case = |name: &str, input: Input, dim, eps| {
        Case::new(name, vec![input]).attrs(Attrs::new().int("dim", dim).float("eps", eps))
    };
    let zeros = Fill::Values(&[0.0, 3.0, -4.0, 0.0, 0.0, 0.0]);
    vec![
        case("typical", floats(&[4, 6]), 1, 1e-12),
        case("first", floats(&[5, 3]), 0, 1e-12),
        case("middle", floats(&[2, 5, 3]), 1, 1e-12),
        case("0-d", floats(&[]).fill(cases::AWAY_FROM_ZERO), 0, 1e-12),
        case("shorter than eps", floats(&[3, 4]), 1, 50.0),
        case("some shorter than eps", floats(&[6, 2]), 1, 1.2).no_gradcheck(),
        case("zeros", floats(&[4, 3]).fill(zeros), 1, 1e-12).no_gradcheck(),
        case("one", floats(&[3, 1]).fill(cases::AWAY_FROM_ZERO), 1, 1e-12),
        case("empty", floats(&[0, 3]), 1, 1e-12),
        case("empty rows", floats(&[3, 0]), 1, 1e-12),
        case("transposed", floats(&[5, 3]).arranged(Arrangement::Transposed), 1, 1e-12),
        case("strided", floats(&[2, 3, 4]).arranged(Arrangement::Strided), 1, 1e-12),
        case("expanded", floats(&[3, 4]).arranged(Arrangement::Expanded), 0, 1e-12),
        case("long", floats(&[3, 1000]), 1, 1e-12).no_gradcheck(),
        case("longer", floats(&[2, 20_000]), 1, 1e-12).no_gradcheck(),
        case("many", floats(&[700, 5]), 1, 1e-12).no_gradcheck(),
        case("huge", floats(&[3, 70]).fill(Fill::Uniform(1e30, 3e30)), 1, 1e-12).no_gradcheck(),
        case("tiny", floats(&[3, 70]).fill(Fill::Uniform(1e-30, 3e-30)), 1, 0.0).no_gradcheck(),
        case("extreme", floats(&[17, 3]).fill(EXTREME), 1, 1e-12).no_gradcheck(),
        case("bad dim", floats(&[2, 3]), 2, 1e-12).fails(),
        case("i32", Input::ints(&[2, 3], 0, 5), 1, 1e-12).fails(),
    ]
}

methods! {
    /// Divides the vectors along a dim by their p-norm, or by `eps` where that is larger. PyTorch's defaults are p = 2,
    /// dim 1 and 1e-12. The 2-norm has a kernel of its own.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3.0f32, 4.0, 0.0, 0.0], &[2, 2]);
    /// assert_eq!(x.normalize(2.0, 1, 1e-12).to_vec::<f32>()?, [0.6, 0.8, 0.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist, or the elements are not floats.
    pub fn normalize / try_normalize (&self, p: f64, dim: i64, eps: f64) -> Tensor {
        if p == 2.0 {
            return single(apply(&NORMALIZE, &[self], Attrs::new().int("dim", dim).float("eps", eps)));
        }
        self.try_div(&self.try_norm(p, &[dim], true)?.try_clamp(Some(eps), None)?)
    }

    /// The cosine of the angle between the vectors of two tensors along a dim; lengths below `eps` count as `eps`.
    /// PyTorch's defaults are dim 1 and 1e-8.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html>
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (a, b) = (Tensor::from_slice(&[1.0f32, 0.0], &[2]), Tensor::from_slice(&[3.0f32, 4.0], &[2]));
    /// assert_eq!(a.cosine_similarity(&b, 0, 1e-8).item::<f32>()?, 0.6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not broadcast, the dim does not exist, or the elements are not floats.
    pub fn cosine_similarity / try_cosine_similarity (&self, other: &Tensor, dim: i64, eps: f64) -> Tensor {
        if let Some([a, b]) = amp::single([self, other])? {
            return a.try_cosine_similarity(&b, dim, eps);
        }
        // A dim counts from the end of the shape that both broadcast to.
        let shape = crate::tensor::shape::broadcast("cosine_similarity", self.shape(), other.shape())?;
        let (a, b) = (self.try_expand(&shape[..])?, other.try_expand(&shape[..])?);
        a.try_normalize(2.0, dim, eps)?.try_mul(&b.try_normalize(2.0, dim, eps)?)?.try_sum_dims(&[dim], false)
    }

    /// The p-norm of the difference of the vectors of two tensors along the last dim, with `eps` added to every difference.
    /// PyTorch's defaults are p = 2 and 1e-6.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.pairwise_distance.html>
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (a, b) = (Tensor::from_slice(&[1.0f32, 5.0], &[2]), Tensor::from_slice(&[4.0f32, 1.0], &[2]));
    /// assert_eq!(a.pairwise_distance(&b, 2.0, 0.0, false).item::<f32>()?, 5.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not broadcast, or the elements are not floats.
    pub fn pairwise_distance / try_pairwise_distance (
        &self, other: &Tensor, p: f64, eps: f64, keepdim: bool
    ) -> Tensor {
        self.try_sub(other)?.try_add_scalar(eps)?.try_norm(p, &[-1], keepdim)
    }
}
