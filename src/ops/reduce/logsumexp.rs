//! `logsumexp` over any dims: `y = m + log Σ exp(x − m)` with m the largest element; `dx = g·exp(x − y)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.logsumexp.html>

use smallvec::smallvec;

use super::{Pair, ReduceParams, grid_by_group, grid_by_thread, reduce, reduced_shape};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::ops::matmul::check_floats;
use crate::ops::{Operation, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::dim_indices;

macro_rules! kernel {
    ($entry:literal, $grid:expr) => {
        Kernel {
            name: concat!("logsumexp.", $entry),
            source: &[include_str!("../../../shaders/reduce/logsumexp.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), Binding::Write("y")],
            params: ParamsLayout::of::<ReduceParams>(),
            variants: Variant::ONLY,
            grid: $grid,
            reference: |call| twin(call, false),
            // Distances to the largest and the sum count in the logarithm as they are; the largest is added rounded.
            bound: |p| Bound::Scaled {
                ulps: 4.0 + f64::from(p.get::<ReduceParams>().part).sqrt(),
                magnitude: |call| twin(call, true),
            },
        }
    };
}

static BY_THREAD: Kernel = kernel!("by_thread", grid_by_thread);
static BY_GROUP: Kernel = kernel!("by_group", grid_by_group);
static KERNELS: Pair = Pair { by_thread: &BY_THREAD, by_group: &BY_GROUP, quads: None };

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for i in 0..p.n * p.splits {
        let first = i % p.splits * p.part;
        let base = p.output_base(i / p.splits);
        let values = (first..(first + p.part).min(p.r)).map(|j| x[base + p.element_offset(j)]);
        let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let shift = if largest.is_finite() { largest } else { 0.0 };
        let log = values.map(|v| (v - shift).exp()).sum::<f64>().ln();
        let scale = 1.0 + shift.abs() + log.abs();
        y[(p.result_offset + i) as usize] = if magnitude { scale } else { shift + log };
    }
    Ok(())
}

/// The operation `logsumexp`.
pub(crate) static LOGSUMEXP: Operation = Operation {
    name: "logsumexp",
    kernels: &[&BY_THREAD, &BY_GROUP],
    forward: |call| {
        let x = call.input(0);
        check_floats(call.op(), &[x])?;
        let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
        let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
        let y = call.output(DType::F32, &shape);
        reduce(call, &KERNELS, x, &dims, &y, 1.0)?;
        call.save(x);
        call.save(&y);
        Ok(smallvec![y])
    },
    vjp: Some(|v| {
        let (x, y) = (v.saved(0), v.saved(1));
        let dims = dim_indices("logsumexp", v.attrs().get_ints("dim"), x.dim())?;
        let kept = reduced_shape(x.shape(), &dims, true);
        let wide = |t: &Tensor| t.try_reshape(&kept[..]);
        let share = x.try_sub(&wide(&y)?)?.try_exp()?;
        Ok(smallvec![Some(share.try_mul(&wide(v.gradient())?)?)])
    }),
    cases: || {
        use cases::{Case, Fill, Input};
        let mut list = super::sum::reduction_cases();
        let attrs = || super::sum::dims(&[1], false);
        let row =
            |name: &str, fill| Case::new(name, vec![Input::floats(&[3, 70]).fill(fill)]).attrs(attrs()).no_gradcheck();
        list.push(row("huge", Fill::Uniform(-1e4, 1e4)));
        list.push(row("masked", Fill::Values(&[0.5, f64::NEG_INFINITY, -1.0])));
        list.push(row("all masked", Fill::Values(&[f64::NEG_INFINITY])));
        list.push(Case::new("i32", vec![Input::ints(&[2, 3], 0, 5)]).attrs(attrs()).fails());
        list
    },
};

methods! {
    /// The logarithm of the sum of the exponentials over some dims, all of them if the list is empty, without overflow.
    /// `keepdim` leaves the dims with size 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1e4f32, 1e4], &[2]);
    /// assert_eq!(x.logsumexp(&[0], false).item::<f32>()?, 1e4 + 2f32.ln());
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When a dim does not exist, or the elements are not floats.
    pub fn logsumexp / try_logsumexp (&self, dims: &[i64], keepdim: bool) -> Tensor {
        single(apply(&LOGSUMEXP, &[self], super::sum::dims(dims, keepdim)))
    }
}
