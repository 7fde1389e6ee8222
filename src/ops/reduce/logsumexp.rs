//! `logsumexp` over any dims: `y = m + log Σ exp(x − m)` with m the largest element; `dx = g·exp(x − y)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.logsumexp.html>

use smallvec::smallvec;

use super::{FLOATS, Kernels, Parts, ReduceParams, TWICE, X_TO_Y, reduce, reduce_kernels, reduced_shape};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Bound, HostCall, Params};
use crate::ops::matmul::check_floats;
use crate::ops::{Operation, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::dim_indices;

const MATHS: &str = include_str!("../../../shaders/reduce/logsumexp.wgsl");

static KERNELS: Kernels = reduce_kernels!("logsumexp", TWICE, MATHS, X_TO_Y, FLOATS, twin, bound);

fn twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    write(call, parts, |shift, log| shift + log)
}

/// What an error of [`twin`] is measured by.
fn scale(shift: f64, log: f64) -> f64 {
    1.0 + shift.abs() + log.abs()
}

/// Distances to the largest and the sum count in the logarithm as they are; the largest is added rounded.
fn bound(params: &Params<'_>, parts: Parts) -> Bound {
    Bound::Scaled {
        ulps: 4.0 + f64::from(params.get::<ReduceParams>().part).sqrt(),
        magnitude: match parts {
            Parts::OfOutput => |call| write(call, Parts::OfOutput, scale),
            Parts::OfAll => |call| write(call, Parts::OfAll, scale),
        },
    }
}

/// Writes what `result` makes of the largest element and the logarithm of the sum.
fn write(call: &HostCall<'_>, parts: Parts, result: fn(f64, f64) -> f64) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for part in parts.all(p) {
        let values = part.places(p).map(|at| x[at]);
        let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let shift = if largest.is_finite() { largest } else { 0.0 };
        y[part.at(p)] = result(shift, values.map(|v| (v - shift).exp()).sum::<f64>().ln());
    }
    Ok(())
}

/// The operation `logsumexp`.
pub(crate) static LOGSUMEXP: Operation = Operation {
    name: "logsumexp",
    kernels: &KERNELS.all(),
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
        let fours = |name: &str, shape: &[usize], fill, dim| {
            let attrs = super::sum::dims(&[dim], false);
            Case::new(name, vec![Input::floats(shape).fill(fill)]).attrs(attrs).no_gradcheck()
        };
        list.push(fours("huge by fours", &[3, 72], Fill::Uniform(-1e4, 1e4), 1));
        list.push(fours("huge columns", &[72, 8], Fill::Uniform(-1e4, 1e4), 0));
        list.push(fours("masked by fours", &[3, 72], Fill::Values(&[0.5, f64::NEG_INFINITY, -1.0]), 1));
        list.push(fours("all masked columns", &[9, 4], Fill::Values(&[f64::NEG_INFINITY]), 0));
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
