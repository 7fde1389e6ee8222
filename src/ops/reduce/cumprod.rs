//! `cumprod` along a dim: `y_j = Π x_i` over i ≤ j. With `R_k = g_k + x_{k+1}·R_{k+1}` from the end, the gradient is
//! `dx_k = y_{k−1}·R_k`: without a division, exact where there are zeros.
//!
//! <https://pytorch.org/docs/stable/generated/torch.cumprod.html>

use smallvec::smallvec;

use super::cumulative::{Scan, counted, forward, scan_kernel, twin};
use super::prod::{PROD_KERNELS, product_bound};
use super::{ReduceParams, grid_by_group, grid_by_thread};
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::ops::{Attrs, Gradients, Operation, Vjp, apply, cases, methods, single, softmax};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};
use crate::{Error, Result};

static BY_THREAD: Kernel = scan_kernel!("cumprod", "by_thread", 1, grid_by_thread, products, product_bound);
static BY_GROUP: Kernel = scan_kernel!("cumprod", "by_group", 1, grid_by_group, products, product_bound);
static SCAN: Scan = Scan { by_thread: &BY_THREAD, by_group: &BY_GROUP, parts: &PROD_KERNELS };

fn products(call: &HostCall<'_>) -> Result<()> {
    twin(call, (1.0, |a, b| a * b), (1, |a, b| a.wrapping_mul(b)))
}

macro_rules! backward_kernel {
    ($entry:literal, $grid:expr) => {
        Kernel {
            name: concat!("cumprod_backward.", $entry),
            source: &[include_str!("../../../shaders/reduce/cumprod_backward.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), Binding::Read("products"), Binding::Read("g"), Binding::Write("dx")],
            params: ParamsLayout::of::<ReduceParams>(),
            variants: Variant::ONLY,
            grid: $grid,
            reference: backward_twin,
            // A sum of products of up to r factors, each rounded, on either side.
            bound: |p| Bound::Magnitude { ulps: 4.0 + 2.0 * f64::from(p.get::<ReduceParams>().r) },
        }
    };
}

static BACKWARD_BY_THREAD: Kernel = backward_kernel!("by_thread", grid_by_thread);
static BACKWARD_BY_GROUP: Kernel = backward_kernel!("by_group", grid_by_group);

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (x, y, g, mut dx) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
    for row in 0..p.n {
        let at = |k: u32| (row / p.inner * p.r * p.inner + k * p.inner + row % p.inner) as usize;
        let mut r = 0.0;
        for k in (0..p.r).rev() {
            let next = if k + 1 < p.r { x[at(k + 1)] } else { 0.0 };
            r = g[at(k)] + next * r;
            dx[p.result_offset as usize + at(k)] = r * if k > 0 { y[at(k - 1)] } else { 1.0 };
        }
    }
    Ok(())
}

/// The operation `cumprod`.
pub(crate) static CUMPROD: Operation = Operation {
    name: "cumprod",
    kernels: &[&BY_THREAD, &BY_GROUP, &BACKWARD_BY_THREAD, &BACKWARD_BY_GROUP],
    forward: |call| {
        if call.attrs().get_bool("reverse") {
            return Err(Error::argument(call.op(), "goes from the start only"));
        }
        let y = forward(call, &SCAN)?;
        call.save(call.input(0));
        call.save(&y);
        Ok(smallvec![y])
    },
    vjp: Some(vjp),
    cases: || {
        let mut list = super::cumulative::cases(cases::Fill::Away(0.999, 1.001));
        // There is no product from the end.
        list.iter_mut().filter(|c| c.name == "reverse").for_each(|c| (c.fails, c.gradcheck) = (true, false));
        let zeros = cases::Fill::Values(&[2.0, -0.5, 0.0, 1.5, 3.0, 0.0, -1.0, 0.5, 2.5]);
        for (name, shape, dim) in [("zeros", [3, 7], 1), ("zeros in columns", [7, 4], 0)] {
            let attrs = Attrs::new().int("dim", dim).bool("reverse", false);
            list.push(cases::Case::new(name, vec![cases::Input::floats(&shape).fill(zeros)]).attrs(attrs));
        }
        list
    },
};

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    // The kernel takes all three row by row from their buffer's start.
    let at_start = |t: &Tensor| {
        let t = t.detach().try_contiguous()?;
        if t.offset() == 0 { Ok(t) } else { t.try_copy() }
    };
    let (x, y, g) = (at_start(&v.saved(0))?, v.saved(1), at_start(v.gradient())?);
    let dx = v.gradient_output(0);
    if x.numel() > 0 {
        let dims = dim_indices("cumprod", &[v.attrs().get_int("dim")], x.dim())?;
        let mut params = ReduceParams::new("cumprod", &x, &dims, &dx)?;
        params.inner = dims.first().map_or(1, |&d| numel(&x.shape()[d + 1..])) as u32;
        let alone = softmax::by_thread("cumprod", v, params.n, params.r, params.inner)?;
        let kernel = if alone { &BACKWARD_BY_THREAD } else { &BACKWARD_BY_GROUP };
        v.dispatch(kernel, 0, &[&x, &y, &g, &dx], &params);
    }
    Ok(smallvec![Some(dx)])
}

methods! {
    /// The products of all elements up to each along a dim. The gradient is exact where elements are 0.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[2.0f32, 3.0, 0.5], &[3]);
    /// assert_eq!(x.cumprod(0).to_vec::<f32>()?, [2.0, 6.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist.
    pub fn cumprod / try_cumprod (&self, dim: i64) -> Tensor {
        single(apply(&CUMPROD, &[&counted(self)?], Attrs::new().int("dim", dim).bool("reverse", false)))
    }
}
