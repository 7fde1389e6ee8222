//! `var` and `std` over any dims: `v = Σ(x − μ)² / (n − c)`, with μ the mean of the n elements and c the correction (1 for an
//! unbiased estimate), and its root. `dx = 2g (x − μ) / (n − c)`, and for the root `g (x − μ) / ((n − c)·√v)`, 0 where it is 0.
//!
//! The kernels are those of `batch_norm`. <https://pytorch.org/docs/stable/generated/torch.var.html>

use smallvec::{SmallVec, smallvec};

use super::reduced_shape;
use crate::Result;
use crate::dtype::DType;
use crate::ops::matmul::check_floats;
use crate::ops::norm::{Domain, variances};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, fill, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};

/// The operation `var`: variance and mean.
pub(crate) static VAR: Operation =
    Operation { name: "var", kernels: &[], forward: |call| forward(call, false), vjp: Some(|v| vjp(v, false)), cases };

/// The operation `std`: standard deviation and mean.
pub(crate) static STD: Operation =
    Operation { name: "std", kernels: &[], forward: |call| forward(call, true), vjp: Some(|v| vjp(v, true)), cases };

/// The contiguous tensor, and where the elements of each output lie in it: as it is where the dims that stay are
/// neighbours, else with those that are reduced moved to the end.
fn arranged(x: &Tensor, dims: &[usize]) -> Result<(Tensor, Domain)> {
    let kept: SmallVec<[usize; 4]> = (0..x.dim()).filter(|d| !dims.contains(d)).collect();
    let size = |dims: &[usize]| dims.iter().map(|&d| x.shape()[d]).product::<usize>();
    let x = x.detach();
    if x.is_contiguous() && kept.windows(2).all(|w| w[0] + 1 == w[1]) {
        let first = kept.first().copied().unwrap_or(0);
        let (outer, inner) = (numel(&x.shape()[..first]), numel(&x.shape()[first + kept.len()..]));
        return Ok((x.clone(), Domain { outer, count: size(&kept), inner }));
    }
    let order: Vec<i64> = kept.iter().chain(dims).map(|&d| d as i64).collect();
    let domain = Domain { outer: 1, count: size(&kept), inner: size(dims) };
    Ok((x.try_permute(&order)?.try_contiguous()?, domain))
}

fn forward(call: &mut Call<'_>, root: bool) -> Result<Outputs> {
    let x = call.input(0);
    check_floats(call.op(), &[x])?;
    let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
    let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
    let (moved, domain) = arranged(x, &dims)?;
    if x.numel() == 0 {
        let nan = || fill::full(&shape, f64::NAN, DType::F32, x.device());
        let outputs: Outputs = smallvec![nan()?, nan()?];
        [x, &outputs[0], &outputs[1]].into_iter().for_each(|t| call.save(t));
        return Ok(outputs);
    }
    let divisor = (domain.len() as f64 - call.attrs().get_int("correction") as f64).max(0.0);
    let (mean, spread) = variances(call, &moved, domain, divisor, root)?;
    let outputs: Outputs = smallvec![spread.try_reshape(&shape[..])?, mean.try_reshape(&shape[..])?];
    [x, &outputs[0], &outputs[1]].into_iter().for_each(|t| call.save(t));
    Ok(outputs)
}

fn vjp(v: &mut Vjp<'_>, root: bool) -> Result<Gradients> {
    let (x, spread, mean) = (v.saved(0), v.saved(1), v.saved(2));
    let dims = dim_indices("var", v.attrs().get_ints("dim"), x.dim())?;
    let kept = reduced_shape(x.shape(), &dims, true);
    let n = dims.iter().map(|&d| x.shape()[d] as f64).product::<f64>();
    let divisor = n - v.attrs().get_int("correction") as f64;
    let of_spread = match v.gradient_of(0) {
        None => None,
        Some(g) => {
            let factor = if root {
                let zero = spread.try_eq_scalar(0.0)?;
                g.try_div(&spread)?.try_masked_fill(&zero, 0.0)?.try_mul_scalar(1.0 / divisor)?
            } else {
                g.try_mul_scalar(2.0 / divisor)?
            };
            let distance = x.try_sub(&mean.try_reshape(&kept[..])?)?;
            Some(distance.try_mul(&factor.try_reshape(&kept[..])?)?)
        }
    };
    let of_mean = match v.gradient_of(1) {
        None => None,
        Some(g) => Some(g.try_div_scalar(n)?.try_reshape(&kept[..])?.try_expand(x.shape())?),
    };
    Ok(smallvec![match (of_spread, of_mean) {
        (Some(a), Some(b)) => Some(a.try_add(&b)?),
        (a, b) => a.or(b),
    }])
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = |dims: &[i64], correction, keepdim| {
        Attrs::new().ints("dim", dims).int("correction", correction).bool("keepdim", keepdim)
    };
    let case = |name: &str, shape: &[usize], attrs| Case::new(name, vec![Input::floats(shape)]).attrs(attrs);
    let arranged = |shape: &[usize], how| vec![Input::floats(shape).arranged(how)];
    let far = vec![Input::floats(&[3, 500]).fill(Fill::Uniform(1000.0, 1001.0))];
    let same = vec![Input::floats(&[3, 100]).fill(Fill::Values(&[0.1]))];
    let infinite = vec![Input::floats(&[3, 5]).fill(Fill::Values(&[1.0, f64::INFINITY, 2.0, f64::NAN, 3.0, 0.5, 4.0]))];
    vec![
        case("all", &[4, 6], attrs(&[], 1, false)),
        case("last", &[3, 5], attrs(&[-1], 1, false)),
        case("first", &[5, 3], attrs(&[0], 0, true)),
        case("around", &[2, 3, 4], attrs(&[0, 2], 1, true)),
        case("middle", &[2, 5, 3], attrs(&[1], 2, false)),
        Case::new("transposed", arranged(&[5, 3], Arrangement::Transposed)).attrs(attrs(&[1], 1, false)),
        Case::new("strided", arranged(&[3, 7], Arrangement::Strided)).attrs(attrs(&[1], 1, false)),
        case("one element", &[3, 1], attrs(&[1], 0, false)).no_gradcheck(),
        case("no degree of freedom", &[3, 1], attrs(&[1], 1, false)).no_gradcheck(),
        case("too large a correction", &[3, 2], attrs(&[1], 3, false)).no_gradcheck(),
        case("nothing", &[0, 3], attrs(&[0], 1, false)).no_gradcheck(),
        case("empty result", &[0, 3], attrs(&[1], 1, false)).no_gradcheck(),
        case("0-d", &[], attrs(&[], 0, false)).no_gradcheck(),
        case("long", &[3, 20_000], attrs(&[1], 1, false)).no_gradcheck(),
        Case::new("far from zero", far).attrs(attrs(&[1], 1, false)).no_gradcheck(),
        Case::new("constant", same).attrs(attrs(&[1], 1, false)).no_gradcheck(),
        Case::new("not finite", infinite).attrs(attrs(&[1], 1, false)).no_gradcheck(),
        case("bad dim", &[2, 3], attrs(&[2], 1, false)).fails(),
        Case::new("i32", vec![Input::ints(&[2, 3], 0, 9)]).attrs(attrs(&[], 1, false)).fails(),
    ]
}

fn attrs(dims: &[i64], correction: i64, keepdim: bool) -> Attrs {
    Attrs::new().ints("dim", dims).int("correction", correction).bool("keepdim", keepdim)
}

/// The first two outputs.
fn both(outputs: Result<Outputs>) -> Result<(Tensor, Tensor)> {
    let outputs = outputs?;
    Ok((outputs[0].clone(), outputs[1].clone()))
}

/// The first output of an operation that has two.
fn first(outputs: Result<Outputs>) -> Result<Tensor> {
    single(outputs.map(|mut o| {
        o.truncate(1);
        o
    }))
}

methods! {
    /// The variance over some dims, all of them if the list is empty: the sum of squared distances to the mean, divided by
    /// the number of elements less `correction` (1 for an unbiased estimate). `keepdim` leaves the dims with size 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 6.0], &[4]);
    /// assert_eq!(x.var(&[], 0, false).item::<f32>()?, 3.5);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When a dim does not exist, or the elements are not floats.
    pub fn var / try_var (&self, dims: &[i64], correction: i64, keepdim: bool) -> Tensor {
        first(apply(&VAR, &[self], attrs(dims, correction, keepdim)))
    }

    /// The standard deviation over some dims: the root of [`Self::var`].
    ///
    /// # Panics
    /// As [`Self::var`].
    pub fn std / try_std (&self, dims: &[i64], correction: i64, keepdim: bool) -> Tensor {
        first(apply(&STD, &[self], attrs(dims, correction, keepdim)))
    }

    /// Variance and mean over some dims; see [`Self::var`].
    ///
    /// # Panics
    /// As [`Self::var`].
    pub fn var_mean / try_var_mean (&self, dims: &[i64], correction: i64, keepdim: bool) -> (Tensor, Tensor) {
        both(apply(&VAR, &[self], attrs(dims, correction, keepdim)))
    }

    /// Standard deviation and mean over some dims; see [`Self::var`].
    ///
    /// # Panics
    /// As [`Self::var`].
    pub fn std_mean / try_std_mean (&self, dims: &[i64], correction: i64, keepdim: bool) -> (Tensor, Tensor) {
        both(apply(&STD, &[self], attrs(dims, correction, keepdim)))
    }
}
