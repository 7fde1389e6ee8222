//! What the norms of rows share: forward, backward and checks. Each row has its own moments, each of its elements a weight.

use smallvec::smallvec;

use super::{Domain, Norm, check_vector};
use crate::dtype::DType;
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Call, Gradients, Outputs, Vjp};
use crate::tensor::{Layout, Tensor};
use crate::{Error, Result};

/// How the elements of an input share moments, and weights.
pub(super) struct Rows {
    pub moments: Domain,
    pub weights: Domain,
    pub centered: bool,
}

/// The positions of weight and bias among the inputs.
fn positions(attrs: &Attrs) -> [Option<usize>; 2] {
    let (weight, bias) = (attrs.get_bool("weight"), attrs.get_bool("bias"));
    [weight.then_some(1), bias.then_some(1 + usize::from(weight))]
}

/// The arguments that say which of weight and bias are there.
pub(super) fn attrs(weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Attrs {
    Attrs::new().bool("weight", weight.is_some()).bool("bias", bias.is_some()).float("eps", eps)
}

/// A weight of any dims as one row.
fn flat(t: &Tensor) -> Result<Tensor> {
    let t = t.detach().try_contiguous()?;
    let layout = Layout { shape: smallvec![t.numel()], strides: smallvec![1], offset: t.offset() };
    Ok(t.view_as_layout(layout))
}

pub(super) fn forward(call: &mut Call<'_>, rows: &Rows) -> Result<Outputs> {
    let [weight, bias] = positions(call.attrs()).map(|at| at.map(|i| flat(call.input(i))));
    let (weight, bias) = (weight.transpose()?, bias.transpose()?);
    let x = call.input(0).detach().try_contiguous()?;
    let y = call.output(DType::F32, x.shape());
    let [mean, spread] = [0; 2].map(|_| call.output(DType::F32, &[rows.moments.count]));
    let norm = Norm {
        moments: rows.moments,
        weights: rows.weights,
        mean: &mean,
        spread: &spread,
        from_variance: false,
        centered: rows.centered,
        weight: weight.as_ref(),
        bias: bias.as_ref(),
        eps: call.attrs().get_float("eps"),
    };
    let made = if x.numel() > 0 { norm.rows(call, &x, &y)? } else { None };
    let (mean, spread) = made.unwrap_or((mean, spread));
    [&x, &mean, &spread].into_iter().chain(weight.as_ref()).for_each(|t| call.save(t));
    Ok(smallvec![y])
}

pub(super) fn vjp(v: &mut Vjp<'_>, rows: &Rows) -> Result<Gradients> {
    let [weight_at, bias_at] = positions(v.attrs());
    let (x, mean, spread) = (v.saved(0), v.saved(1), v.saved(2));
    let weight = weight_at.map(|_| v.saved(3));
    let norm = Norm {
        moments: rows.moments,
        weights: rows.weights,
        mean: &mean,
        spread: &spread,
        from_variance: false,
        centered: rows.centered,
        weight: weight.as_ref(),
        bias: None,
        eps: v.attrs().get_float("eps"),
    };
    let g = v.gradient().try_contiguous()?;
    let mut gradients: Gradients = smallvec![None; v.inputs_len()];
    if v.needs(0) {
        let dx = v.gradient_output(0);
        if x.numel() > 0 {
            norm.rows_gradient(v, &x, &g, &dx)?;
        }
        gradients[0] = Some(dx);
    }
    let [dw, db] = [weight_at, bias_at].map(|at| at.filter(|&i| v.needs(i)).map(|i| (i, v.gradient_output(i))));
    if dw.is_some() || db.is_some() {
        let tensor = |pair: &Option<(usize, Tensor)>| pair.as_ref().map(|(_, t)| t.clone());
        norm.sums(v, &x, &g, rows.weights, tensor(&db).as_ref(), tensor(&dw).as_ref())?;
    }
    for (at, gradient) in [dw, db].into_iter().flatten() {
        gradients[at] = Some(gradient);
    }
    Ok(gradients)
}

/// The rows of a norm over the last dims, which are `normalized_shape`.
pub(super) fn last_dims(shape: &[usize], normalized: &[usize], centered: bool) -> Rows {
    let inner = normalized.iter().product();
    let rows = shape[..shape.len() - normalized.len()].iter().product();
    Rows {
        moments: Domain { outer: 1, count: rows, inner },
        weights: Domain { outer: rows, count: inner, inner: 1 },
        centered,
    }
}

/// Refuses what is not normalised over its last dims, and weights of another shape than those.
pub(super) fn check_last_dims(call: &Call<'_>, normalized: &[usize]) -> Result<()> {
    let (op, x) = (call.op(), call.input(0).shape());
    check_floats(op, call.inputs())?;
    if normalized.is_empty() {
        return Err(Error::argument(op, "normalized_shape must have at least one dim"));
    }
    if !x.ends_with(normalized) {
        let detail = format!("an input of shape {x:?} does not end with normalized_shape {normalized:?}");
        return Err(Error::shape(op, detail));
    }
    for (name, at) in ["weight", "bias"].into_iter().zip(positions(call.attrs())) {
        match at.map(|i| call.input(i).shape()) {
            Some(shape) if shape != normalized => {
                let detail = format!("the {name} needs normalized_shape {normalized:?}, it has {shape:?}");
                return Err(Error::shape(op, detail));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses weights that are not a number for each channel.
pub(super) fn check_channels(call: &Call<'_>) -> Result<()> {
    let x = call.input(0).shape();
    for (name, at) in ["weight", "bias"].into_iter().zip(positions(call.attrs())) {
        check_vector(call.op(), name, at.map(|i| call.input(i)), x[1], x)?;
    }
    Ok(())
}
