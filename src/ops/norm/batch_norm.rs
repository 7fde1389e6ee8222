//! `batch_norm`: each channel c of `[N, C, …]` with mean μ and variance σ² over batch and places, n elements,
//!
//! `x̂ = (x − μ_c) / √(σ²_c + ε)`, `y = w_c·x̂ + b_c`;
//! `db = Σ g`, `dw = Σ g·x̂`, `dx = w_c / √(σ²_c + ε) · (g − db/n − x̂·dw/n)`.
//!
//! In training μ and σ² = Σ(x − μ)²/n are the batch's, and the running statistics take a share of μ and of the unbiased
//! Σ(x − μ)²/(n − 1). In evaluation they are the running ones, constants: `dx = g·w_c / √(σ²_c + ε)`.
//!
//! An input of halves is read as it is, the result is halves, everything between is f32 ([`takes_halves`]): on lavapipe 0.8 to
//! 1.1 of f32's time where it is 1.1 to 1.4 by way of f32 (`cargo bench --bench layers -- batch_norm`), 7 dispatches
//! forward and back for 11.
//!
//! Ioffe and Szegedy, "Batch normalization" (2015).
//! <https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html>

use smallvec::{SmallVec, smallvec};

use super::plan::{Running, moments, same_buffer};
use super::{Domain, Norm, check_vector};
use crate::autograd::is_recomputing;
use crate::dtype::DType;
use crate::engine::Device;
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The operation `batch_norm`: inputs `x`, and of weight, bias, running mean, running variance and number of batches those
/// that the arguments name.
pub(crate) static BATCH_NORM: Operation = Operation {
    name: "batch_norm",
    kernels: &[
        &super::MOMENTS_BY_THREAD,
        &super::HALF_MOMENTS_BY_THREAD,
        &super::MOMENTS_BY_GROUP,
        &super::HALF_MOMENTS_BY_GROUP,
        &super::MERGE,
        &super::MERGE_RUNNING,
        &super::APPLY,
        &super::HALF_APPLY,
        &super::MOMENTS_BY_QUADS,
        &super::HALF_MOMENTS_BY_QUADS,
        &super::SUMS_BY_QUADS,
        &super::HALF_SUMS_BY_QUADS,
        &super::APPLY_QUADS,
        &super::INPUT_GRADIENT_QUADS,
        &super::HALF_APPLY_QUADS,
        &super::HALF_INPUT_GRADIENT_QUADS,
        &super::SUMS_BY_THREAD,
        &super::HALF_SUMS_BY_THREAD,
        &super::SUMS_BY_GROUP,
        &super::HALF_SUMS_BY_GROUP,
        &super::MERGE_SUMS,
        &super::INPUT_GRADIENT,
        &super::HALF_INPUT_GRADIENT,
    ],
    forward,
    vjp: Some(vjp),
    cases,
};

/// The optional inputs, in order, and the arguments that say which are there.
const OPTIONAL: [&str; 5] = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];

/// Where each of [`OPTIONAL`] stands among the inputs.
fn positions(attrs: &Attrs) -> [Option<usize>; 5] {
    let mut next = 0;
    OPTIONAL.map(|name| {
        attrs.get_bool(name).then(|| {
            next += 1;
            next
        })
    })
}

/// Where the running statistics stand among the inputs.
pub(crate) fn running(attrs: &Attrs) -> [Option<usize>; 2] {
    let [_, _, mean, var, _] = positions(attrs);
    [mean, var]
}

/// Whether the kernels read and write an input of halves as it is, with statistics of f32. On software drivers those of an
/// odd size would have to look for the channel of every element, which costs more than conversions.
pub(crate) fn takes_halves(device: &Device, inputs: &[&Tensor], attrs: &Attrs) -> bool {
    let x = inputs[0];
    let software = device.adapter().is_some_and(|facts| facts.is_software());
    let searches =
        domain(x.shape()).is_ok_and(|domain| domain.inner >= super::plan::RUN as usize && domain.inner % 2 == 1);
    let wide = running(attrs).into_iter().flatten().all(|i| !inputs[i].dtype().is_half());
    x.dtype().is_half() && wide && !(software && searches)
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let attrs = call.attrs();
    let [weight, bias, running_mean, running_var, batches] = positions(attrs).map(|p| p.map(|i| call.input(i)));
    let x = call.input(0);
    let (training, eps) = (attrs.get_bool("training"), attrs.get_float("eps"));
    let momentum = attrs.get("momentum").map(|_| attrs.get_float("momentum"));
    check_floats(call.op(), &[x])?;
    let domain = domain(x.shape())?;
    let named = [("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)];
    for (name, tensor) in named {
        check_vector("batch_norm", name, tensor, domain.count, x.shape())?;
    }
    if training && domain.len() == 1 {
        let detail =
            format!("expected more than 1 value per channel when training, got an input of shape {:?}", x.shape());
        return Err(Error::argument("batch_norm", detail));
    }
    let x = x.detach().try_contiguous()?;
    let [weight, bias] = [weight, bias].map(|t| t.map(vector));
    let (weight, bias) = (weight.transpose()?, bias.transpose()?);
    let (mean, spread) = match (training, running_mean, running_var) {
        (true, Some(mean), Some(var)) => {
            check_running(&[mean, var], batches, momentum)?;
            moments(call, &x, domain, true, eps, Some(&Running { mean, var, batches, momentum }))?
        }
        (true, _, _) => moments(call, &x, domain, true, eps, None)?,
        (false, Some(mean), Some(var)) => (vector(mean)?, vector(var)?),
        (false, _, _) => {
            let detail = "needs running_mean and running_var unless `training` is set";
            return Err(Error::argument("batch_norm", detail));
        }
    };
    let y = call.output(x.dtype(), x.shape());
    let norm = Norm {
        moments: domain,
        weights: domain,
        mean: &mean,
        spread: &spread,
        from_variance: !training,
        centered: true,
        weight: weight.as_ref(),
        bias: bias.as_ref(),
        eps,
    };
    if x.numel() > 0 {
        norm.apply(call, &x, &y);
    }
    [&x, &mean, &spread].into_iter().chain(weight.as_ref()).for_each(|t| call.save(t));
    Ok(smallvec![y])
}

/// Numbers of the channels, as f32.
fn vector(t: &Tensor) -> Result<Tensor> {
    t.detach().try_to_dtype(DType::F32)?.try_contiguous()
}

fn domain(shape: &[usize]) -> Result<Domain> {
    match shape {
        [_, _, ..] => Ok(Domain::channels(shape)),
        // As PyTorch, which never asks an input without elements for its channels.
        [0] => Ok(Domain { outer: 0, count: 0, inner: 1 }),
        _ => {
            Err(Error::shape("batch_norm", format!("takes inputs [N, C, ..]: one of shape {shape:?} has no channels")))
        }
    }
}

/// Running statistics are changed where they are: memory of their own, outside of any graph.
fn check_running(statistics: &[&Tensor], batches: Option<&Tensor>, momentum: Option<f64>) -> Result<()> {
    let refuse = |detail: &str| Err(Error::argument("batch_norm", detail));
    match batches {
        Some(t) if t.dtype() != DType::I32 || t.numel() != 1 => {
            return refuse("num_batches_tracked must be one i32");
        }
        None if momentum.is_none() => return refuse("a cumulative average (no momentum) needs num_batches_tracked"),
        _ => {}
    }
    if statistics.iter().any(|t| t.is_requires_grad()) {
        return refuse("running statistics that require a gradient can't be changed in place; `.detach()` them");
    }
    if statistics.iter().any(|t| !t.is_contiguous()) || same_buffer(statistics[0], statistics[1]) {
        return refuse("running statistics that are changed in place must lie row by row, each in memory of its own");
    }
    Ok(())
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let attrs = v.attrs();
    let domain = domain(v.input_shape(0))?;
    let [weight_at, bias_at, ..] = positions(attrs);
    let (x, mean, spread) = (v.saved(0), v.saved(1), v.saved(2));
    let weight = weight_at.map(|_| v.saved(3));
    let training = attrs.get_bool("training");
    let norm = Norm {
        moments: domain,
        weights: domain,
        mean: &mean,
        spread: &spread,
        from_variance: !training,
        centered: true,
        weight: weight.as_ref(),
        bias: None,
        eps: attrs.get_float("eps"),
    };
    let g = v.gradient().try_contiguous()?;
    let wanted = |at: Option<usize>| at.filter(|&i| v.needs(i));
    let (weight_at, bias_at) = (wanted(weight_at), wanted(bias_at));
    let summed = training && v.needs(0);
    let mut target = |at: Option<usize>| match at {
        Some(i) if !v.input_dtype(i).is_half() => Some(v.gradient_output(i)),
        Some(_) => Some(v.output(DType::F32, &[domain.count])),
        None => summed.then(|| v.output(DType::F32, &[domain.count])),
    };
    let (db, dw) = (target(bias_at), target(weight_at));
    if db.is_some() || dw.is_some() {
        norm.sums(v, &x, &g, domain, db.as_ref(), dw.as_ref())?;
    }
    let mut gradients: SmallVec<[Option<Tensor>; 2]> = smallvec![None; v.inputs_len()];
    if v.needs(0) {
        let sums = if training { db.as_ref().zip(dw.as_ref()) } else { None };
        let mut dx = v.gradient_output(0);
        // One dispatch can't read the sums in an optimiser's memory and write there.
        if sums.is_some_and(|(a, b)| same_buffer(&dx, a) || same_buffer(&dx, b)) {
            dx = v.output(x.dtype(), x.shape());
        }
        if x.numel() > 0 {
            norm.input_gradient(v, &x, &g, sums, &dx);
        }
        gradients[0] = Some(dx);
    }
    for (at, gradient) in [(bias_at, db), (weight_at, dw)] {
        if let Some(i) = at {
            gradients[i] = gradient;
        }
    }
    Ok(gradients)
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = |present: [bool; 5], training: bool| {
        let attrs = OPTIONAL.iter().zip(present).fold(Attrs::new(), |attrs, (name, there)| attrs.bool(name, there));
        attrs.bool("training", training).float("eps", 1e-5)
    };
    let case = |name: &str, x: Input, present: [bool; 5], training: bool, momentum: Option<f64>| {
        let channels = [*x.shape.get(1).unwrap_or(&0)];
        let vector = |fill| Input::floats(&channels).fill(fill);
        let optional = [
            vector(Fill::Away(0.5, 1.5)),
            vector(cases::ANY),
            vector(cases::ANY).constant(),
            vector(cases::POSITIVE).constant(),
            Input::ints(&[], 4, 5),
        ];
        let inputs = std::iter::once(x).chain(optional.into_iter().zip(present).filter(|(_, p)| *p).map(|(t, _)| t));
        let attrs = attrs(present, training);
        let attrs = match momentum {
            Some(m) => attrs.float("momentum", m),
            None => attrs,
        };
        Case::new(name, inputs.collect()).attrs(attrs)
    };
    let floats = |shape: &[usize]| Input::floats(shape);
    let (all, affine, plain) = ([true; 5], [true, true, false, false, false], [false; 5]);
    let running = [false, false, true, true, false];
    let eval = [true, true, true, true, false];
    let far = Fill::Uniform(1000.0, 1001.0);
    let infinite = Fill::Values(&[1.0, 2.0, f64::INFINITY, -3.0, f64::NAN, 0.5, 7.0]);
    let mut list = vec![
        case("typical", floats(&[3, 4, 5, 5]), all, true, Some(0.1)),
        case("cumulative", floats(&[3, 4, 5]), all, true, None),
        case("plain", floats(&[4, 3]), plain, true, Some(0.1)),
        case("running only", floats(&[4, 3, 2]), running, true, Some(0.3)),
        case("weight only", floats(&[2, 3, 4]), [true, false, false, false, false], true, Some(0.1)),
        case("bias only", floats(&[2, 3, 4]), [false, true, false, false, false], true, Some(0.1)),
        case("one channel", floats(&[2, 1, 40]), affine, true, Some(0.1)),
        case("one sample", floats(&[1, 3, 7]), affine, true, Some(0.1)),
        case("evaluation", floats(&[3, 4, 6, 6]), eval, false, Some(0.1)),
        case("plain evaluation", floats(&[3, 4]), running, false, Some(0.1)),
        case("empty", floats(&[0, 3, 2]), all, true, Some(0.1)),
        case("no channels", floats(&[0]), plain, true, Some(0.1)),
        case("transposed", floats(&[5, 4, 3]).arranged(Arrangement::Transposed), all, true, Some(0.1)),
        case("strided", floats(&[3, 4, 40]).arranged(Arrangement::Strided), affine, true, Some(0.1)),
        case("expanded", floats(&[3, 2, 5]).arranged(Arrangement::Expanded), affine, true, Some(0.1)),
        case("large", floats(&[5, 3, 29, 40]), all, true, Some(0.1)).no_gradcheck(),
        case("long", floats(&[2, 2, 70_001]), all, true, Some(0.1)).no_gradcheck(),
        case("many channels", floats(&[2, 1000, 3]), all, true, None).no_gradcheck(),
        case("rows", floats(&[700, 70]), all, true, Some(0.1)).no_gradcheck(),
        case("from an odd place", floats(&[2, 3, 6, 6]).arranged(Arrangement::Behind), affine, true, Some(0.1)),
        case("far from zero", floats(&[4, 3, 600]).fill(far), all, true, Some(0.1)).no_gradcheck(),
        case("constant", floats(&[4, 3, 100]).fill(Fill::Values(&[0.1])), all, true, Some(0.1)).no_gradcheck(),
        case("not finite", floats(&[4, 3, 5]).fill(infinite), all, true, Some(0.1)).no_gradcheck(),
        case("one value", floats(&[1, 3]), all, true, Some(0.1)).fails(),
        case("vector", floats(&[3]), plain, true, Some(0.1)).fails(),
        case("no statistics", floats(&[3, 2]), affine, false, Some(0.1)).fails(),
        case("cumulative without count", floats(&[3, 2]), running, true, None).fails(),
        case("i32", Input::ints(&[3, 2], 0, 5), plain, true, Some(0.1)).fails(),
        {
            let mut case = case("wrong weight", floats(&[3, 2]), affine, true, Some(0.1)).fails();
            case.inputs[1] = floats(&[3]);
            case
        },
    ];
    // As under autocast: halves of an even and an odd number, with weights of f32.
    for dtype in [DType::F16, DType::BF16] {
        let half = |name: &str, shape: &[usize], present: [bool; 5], training: bool| {
            let x = floats(shape).dtype(dtype);
            case(&format!("{dtype}, {name}"), x, present, training, Some(0.1)).no_gradcheck()
        };
        list.push(half("typical", &[3, 4, 5, 5], all, true));
        list.push(half("segments", &[3, 4, 6, 6], all, true));
        list.push(half("an odd number", &[3, 3, 5], affine, true));
        list.push(half("segments in pairs", &[3, 4, 6, 7], all, true));
        list.push(half("odd segments", &[2, 3, 5, 7], affine, true));
        list.push(half("plain", &[4, 3], plain, true));
        list.push(half("large", &[5, 3, 29, 40], all, true));
        list.push(half("evaluation", &[3, 4, 6, 6], eval, false));
        let mut behind = half("from an odd place", &[3, 4, 6, 6], all, true);
        behind.inputs[0].arrangement = Arrangement::Behind;
        list.push(behind);
        let mut weights = half("weights too", &[3, 4, 6, 6], affine, true);
        weights.inputs.iter_mut().for_each(|input| input.dtype = dtype);
        list.push(weights);
    }
    list
}

/// The options of [`Tensor::batch_norm`], with PyTorch's names and defaults.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormOptions<'a> {
    /// A factor for each channel, `[C]`.
    pub weight: Option<&'a Tensor>,
    /// What is added to each channel, `[C]`.
    pub bias: Option<&'a Tensor>,
    /// The running mean, `[C]`; changed in place while training.
    pub running_mean: Option<&'a Tensor>,
    /// The running variance, `[C]`; changed in place while training.
    pub running_var: Option<&'a Tensor>,
    /// The number of batches so far, one i32; counted in place while training.
    pub num_batches_tracked: Option<&'a Tensor>,
    /// Whether the statistics are the batch's. Otherwise they are the running ones.
    pub training: bool,
    /// The share of this batch in the running statistics; `None` for the mean of all batches so far.
    pub momentum: Option<f64>,
    /// What is added to the variance.
    pub eps: f64,
}

impl Default for BatchNormOptions<'_> {
    fn default() -> Self {
        BatchNormOptions {
            weight: None,
            bias: None,
            running_mean: None,
            running_var: None,
            num_batches_tracked: None,
            training: false,
            momentum: Some(0.1),
            eps: 1e-5,
        }
    }
}

methods! {
    /// Normalises each channel of `[N, C, …]` to mean 0 and variance 1 over the batch (or by running statistics), then
    /// multiplies it by `weight` and adds `bias`.
    ///
    /// While training, `running_mean` and `running_var` take a share of the batch's statistics in place, on the device, even
    /// inside of `no_grad`; after a bad index they are left as they were until it is read.
    ///
    /// ```
    /// use lumigrad::{BatchNormOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 10.0, 3.0, 20.0], &[2, 2]);
    /// let y = x.batch_norm(&BatchNormOptions { training: true, eps: 0.0, ..Default::default() });
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, -1.0, 1.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the input has no channels, a vector is not `[C]`, a channel has one value only while training, or there are no
    /// running statistics otherwise.
    pub fn batch_norm / try_batch_norm (&self, options: &BatchNormOptions<'_>) -> Tensor {
        let o = options;
        if o.training && o.running_mean.is_some() != o.running_var.is_some() {
            return Err(Error::argument("batch_norm", "running_mean and running_var come together"));
        }
        // What is run again for its gradients has been counted.
        let seen = o.training && is_recomputing();
        let o = BatchNormOptions {
            running_mean: o.running_mean.filter(|_| !seen),
            running_var: o.running_var.filter(|_| !seen),
            momentum: if seen { Some(0.0) } else { o.momentum },
            ..*o
        };
        let tracked = if o.training && o.running_mean.is_some() { o.num_batches_tracked } else { None };
        let optional = [o.weight, o.bias, o.running_mean, o.running_var, tracked];
        let attrs = OPTIONAL.iter().zip(optional).fold(Attrs::new(), |attrs, (name, t)| attrs.bool(name, t.is_some()));
        let attrs = attrs.bool("training", o.training).float("eps", o.eps);
        let attrs = match o.momentum {
            Some(momentum) => attrs.float("momentum", momentum),
            None => attrs,
        };
        let inputs: SmallVec<[&Tensor; 6]> = std::iter::once(self).chain(optional.into_iter().flatten()).collect();
        single(apply(&BATCH_NORM, &inputs, attrs))
    }
}
