//! Cross-entropy of logits x against class numbers t, with class weights w and label smoothing ε over C classes:
//!
//! `loss = (1−ε)·w_t·(lse − x_t) + ε/C · Σ_c w_c·(lse − x_c)`, where `lse = log Σ_c exp x_c`;
//! `dx_c = (1−ε)·w_t·(p_c − [c = t]) + ε/C · (p_c·Σw − w_c)`, where `p_c = exp(x_c − lse)`.
//!
//! The mean is divided by the sum of the w_t. Probabilities as target have a page of their own.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>

use smallvec::smallvec;

use super::class_loss::{
    self, ClassLossParams, check_labels, check_scores, check_smoothing, gradients, prepared, refuse_weight_gradient,
};
use super::reduce::sum::sum_into;
use super::softmax;
use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, cross_entropy_probs, methods, single};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::{Error, Result};

pub use super::class_loss::Reduction;

/// The arguments of cross-entropy besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyOptions<'a> {
    /// A factor for each class.
    pub weight: Option<&'a Tensor>,
    /// A class number whose samples count for nothing.
    pub ignore_index: i64,
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// How much of the probability is spread over all classes, 0 to 1.
    pub label_smoothing: f64,
}

impl Default for CrossEntropyOptions<'_> {
    fn default() -> Self {
        CrossEntropyOptions { weight: None, ignore_index: -100, reduction: Reduction::Mean, label_smoothing: 0.0 }
    }
}

macro_rules! rows_kernel {
    ($name:literal, $entry:literal, $grid:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!("../../shaders/cross_entropy.wgsl")],
            entry: $entry,
            bindings: &[
                Binding::Read("x"),
                Binding::Read("labels"),
                Binding::Read("weight"),
                Binding::Write("losses"),
                Binding::Write("weights"),
                Binding::Write("log_sums"),
                Binding::Faults,
            ],
            params: ParamsLayout::of::<ClassLossParams>(),
            variants: Variant::ONLY,
            grid: $grid,
            reference: |call| rows_twin(call, false),
            // A sum of C exponentials, each within 2 ulp, below a logarithm; the smoothed loss is a sum of C terms too.
            bound: |p| Bound::Scaled {
                ulps: 8.0 + f64::from(p.get::<ClassLossParams>().classes).sqrt(),
                magnitude: |call| rows_twin(call, true),
            },
        }
    };
}

static ROWS_BY_THREAD: Kernel =
    rows_kernel!("cross_entropy.rows_by_thread", "rows_by_thread", |p| class_loss::grid_of_rows(p, 60));
static ROWS_BY_GROUP: Kernel =
    rows_kernel!("cross_entropy.rows_by_group", "rows_by_group", |p| class_loss::grid_of_groups(p, 60));

static REDUCE: Kernel = Kernel {
    name: "cross_entropy.reduce",
    source: &[include_str!("../../shaders/cross_entropy.wgsl")],
    entry: "reduce",
    bindings: &[
        Binding::Read("row_losses"),
        Binding::Read("row_weights"),
        Binding::Write("loss"),
        Binding::Write("divisor"),
    ],
    params: ParamsLayout::of::<ClassLossParams>(),
    variants: Variant::ONLY,
    grid: |p| Grid::groups(1).work(u64::from(p.get::<ClassLossParams>().rows) * 4),
    reference: reduce_twin,
    // Two sums and a division.
    bound: |p| Bound::Magnitude { ulps: 4.0 + 2.0 * f64::from(p.get::<ClassLossParams>().rows).sqrt() },
};

static BACKWARD: Kernel = Kernel {
    name: "cross_entropy.backward",
    source: &[include_str!("../../shaders/cross_entropy.wgsl")],
    entry: "backward",
    bindings: &[
        Binding::Read("x"),
        Binding::Read("labels"),
        Binding::Read("weight"),
        Binding::Read("g"),
        Binding::Read("row_log_sums"),
        Binding::Read("divided_by"),
        Binding::Read("weight_sum"),
        Binding::Write("dx"),
    ],
    params: ParamsLayout::of::<ClassLossParams>(),
    variants: Variant::ONLY,
    grid: class_loss::grid_of_scores,
    reference: |call| backward_twin(call, false),
    // An exponential whose argument d is rounded to an ulp of itself: d·exp(d) is below 0.4. It is subtracted from 1,
    // with some products and divisions on the way.
    bound: |_| Bound::Scaled { ulps: 16.0, magnitude: |call| backward_twin(call, true) },
};

/// `magnitude`: with what the errors are measured by in the place of each result.
fn rows_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let (x, labels) = (call.floats(0), call.ints(1));
    let (mut losses, mut weights, mut log_sums) = (call.floats_mut(3), call.floats_mut(4), call.floats_mut(5));
    let unit = if magnitude { 1.0 } else { 0.0 };
    for row in 0..p.rows {
        let at = row as usize;
        let logits = || (0..p.classes).map(|c| x[p.at(row, c)]);
        let largest = logits().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = logits().map(|v| (v - largest).exp()).sum::<f64>().ln();
        (log_sums[2 * at], log_sums[2 * at + 1]) = (largest, log_sum + unit);
        let label = labels[p.target_offset as usize + at];
        if label == p.ignore_index {
            (losses[at], weights[at]) = (0.0, 0.0);
            continue;
        }
        if label < 0 || label as u32 >= p.classes {
            return Err(call.fault(p.site, i64::from(label), i64::from(p.classes)));
        }
        let weight = |c: u32| {
            let w = p.class_weight(call, 2, c);
            if magnitude { w.abs() } else { w }
        };
        let surprise = |c: u32| weight(c) * ((largest - x[p.at(row, c)]) + log_sum + unit);
        let smoothing = f64::from(p.label_smoothing);
        let mut loss = surprise(label as u32);
        if smoothing > 0.0 {
            let all: f64 = (0..p.classes).map(surprise).sum();
            loss = (1.0 - smoothing) * loss + smoothing / f64::from(p.classes) * all;
        }
        (losses[at], weights[at]) = (loss, weight(label as u32));
    }
    Ok(())
}

fn reduce_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let rows = p.rows as usize;
    let (losses, weights, mut loss, mut divisor) =
        (call.floats(0), call.floats(1), call.floats_mut(2), call.floats_mut(3));
    let by = if p.mean != 0 { weights[..rows].iter().sum() } else { 1.0 };
    loss[0] = losses[..rows].iter().sum::<f64>() / by;
    divisor[0] = by;
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let (x, labels, g) = (call.floats(0), call.ints(1), call.floats(3));
    let (log_sums, divisor, mut dx) = (call.floats(4), call.floats(5), call.floats_mut(7));
    let all: f64 = (0..p.classes).map(|c| p.class_weight(call, 2, c)).sum();
    let smoothing = f64::from(p.label_smoothing);
    for i in 0..p.rows * p.classes {
        let (row, class) = p.row_and_class(i);
        let label = labels[(p.target_offset + row) as usize];
        let upstream = g[p.upstream(row)] / divisor[0];
        let (largest, log_sum) = (log_sums[2 * row as usize], log_sums[2 * row as usize + 1]);
        let d = if label == p.ignore_index {
            0.0
        } else if label < 0 || label as u32 >= p.classes {
            f64::NAN
        } else if magnitude {
            p.class_weight(call, 2, label as u32).abs() + smoothing * all.abs()
        } else {
            let probability = (x[p.at(row, class)] - largest - log_sum).exp();
            let hit = f64::from(u8::from(class == label as u32));
            let own = p.class_weight(call, 2, label as u32) * (probability - hit);
            let smooth = probability * all - p.class_weight(call, 2, class);
            (1.0 - smoothing) * own + smoothing / f64::from(p.classes) * smooth
        };
        dx[(p.result_offset + i) as usize] = if d == 0.0 { 0.0 } else { upstream * d };
    }
    Ok(())
}

/// The operation `cross_entropy`: inputs logits `[N, C, …]`, class numbers `[N, …]`, and perhaps class weights `[C]`.
pub(crate) static CROSS_ENTROPY: Operation = Operation {
    name: "cross_entropy",
    kernels: &[&ROWS_BY_THREAD, &ROWS_BY_GROUP, &REDUCE, &BACKWARD],
    forward,
    vjp: Some(vjp),
    cases,
};

/// Rows that one workgroup adds up alone; more are summed by the kernels of `sum`, which split them.
const MAX_ROWS: u32 = 65_536;

/// The (weighted) mean or the sum of the losses of all rows, and what they were divided by.
pub(crate) fn reduce_rows(
    run: &mut Run<'_>,
    params: &ClassLossParams,
    losses: &Tensor,
    weights: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (loss, divisor) = (run.output(DType::F32, &[]), run.output(DType::F32, &[1]));
    if params.rows <= MAX_ROWS {
        run.dispatch(&REDUCE, 0, &[losses, weights, &loss, &divisor], params);
        return Ok((loss, divisor));
    }
    let (total, weight) = (run.output(DType::F32, &[1]), run.output(DType::F32, &[1]));
    sum_into(run, losses, &[0], &total)?;
    sum_into(run, weights, &[0], &weight)?;
    run.dispatch(&REDUCE, 0, &[&total, &weight, &loss, &divisor], &ClassLossParams { rows: 1, ..*params });
    Ok((loss, divisor))
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let op = call.op();
    check_scores(op, call.input(0), call.inputs().get(2).copied())?;
    check_labels(op, call.input(0), call.input(1))?;
    check_smoothing(op, call.attrs())?;
    let (x, target, weight) = prepared(call.inputs())?;
    let params = ClassLossParams::new(op, call.attrs(), &x, &target, weight.as_ref());
    let rows = params.rows as usize;
    let (losses, weights) = (call.output(DType::F32, &[rows]), call.output(DType::F32, &[rows]));
    let log_sums = call.output(DType::F32, &[rows, 2]);
    let bound = weight.as_ref().unwrap_or(&x);
    let alone = softmax::by_thread(op, call, params.rows, params.classes, params.inner)?;
    let kernel = if alone { &ROWS_BY_THREAD } else { &ROWS_BY_GROUP };
    call.dispatch(kernel, 0, &[&x, &target, bound, &losses, &weights, &log_sums], &params);
    let (loss, divisor) = reduce_rows(call, &params, &losses, &weights)?;
    for tensor in [&x, &target, &log_sums, &divisor] {
        call.save(tensor);
    }
    if let Some(weight) = &weight {
        call.save(weight);
    }
    let each = call.attrs().get_str("reduction") == "none";
    Ok(smallvec![if each { losses.try_reshape(target.shape())? } else { loss }])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    refuse_weight_gradient("cross_entropy", v)?;
    let (x, target, log_sums, divisor) = (v.saved(0), v.saved(1), v.saved(2), v.saved(3));
    let weight = (v.saved_len() > 4).then(|| v.saved(4));
    let g = v.gradient().try_contiguous()?;
    // Every logit's gradient takes the sum of all weights when labels are smoothed.
    let mut weight_sum = divisor.clone();
    if let Some(weight) = weight.as_ref().filter(|_| v.attrs().get_float("label_smoothing") > 0.0) {
        weight_sum = v.output(DType::F32, &[]);
        sum_into(v, weight, &[0], &weight_sum)?;
    }
    let dx = v.gradient_output(0);
    let params = ClassLossParams::new("cross_entropy", v.attrs(), &x, &target, weight.as_ref());
    let params = params.with_gradient(v.attrs(), &g, &dx);
    let bound = weight.as_ref().unwrap_or(&x);
    v.dispatch(&BACKWARD, 0, &[&x, &target, bound, &g, &log_sums, &divisor, &weight_sum, &dx], &params);
    Ok(gradients(v, Some(dx), None))
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = |reduction: Reduction, smoothing: f64| {
        let attrs = Attrs::new().str("reduction", reduction.name()).int("ignore_index", -100);
        attrs.float("label_smoothing", smoothing)
    };
    let (logits, labels) = (Input::floats, |n: &[usize], c| Input::ints(n, 0, c));
    let pair = |name: &str, n, c| Case::new(name, vec![logits(&[n, c]), labels(&[n], c as i64)]);
    let weight = |c| Input::floats(&[c]).fill(cases::POSITIVE).constant();
    vec![
        pair("mean", 5, 4).attrs(attrs(Reduction::Mean, 0.0)),
        pair("sum", 5, 4).attrs(attrs(Reduction::Sum, 0.0)),
        pair("none", 5, 4).attrs(attrs(Reduction::None, 0.0)),
        pair("smooth", 5, 4).attrs(attrs(Reduction::Mean, 0.1)),
        Case::new("weights", vec![logits(&[5, 4]), labels(&[5], 4), weight(4)]).attrs(attrs(Reduction::Mean, 0.2)),
        Case::new("images", vec![logits(&[2, 3, 4, 2]), labels(&[2, 4, 2], 3)]).attrs(attrs(Reduction::Mean, 0.0)),
        Case::new("transposed", vec![logits(&[5, 4]).arranged(Arrangement::Transposed), labels(&[5], 4)])
            .attrs(attrs(Reduction::None, 0.0)),
        Case::new("ignored", vec![logits(&[6, 3]), labels(&[6], 3)])
            .attrs(Attrs::new().str("reduction", "mean").int("ignore_index", 1).float("label_smoothing", 0.0)),
        Case::new("huge logits", vec![logits(&[7, 5]).fill(Fill::Uniform(-1e4, 1e4)), labels(&[7], 5)])
            .attrs(attrs(Reduction::Mean, 0.0))
            .no_gradcheck(),
        Case::new("small", vec![logits(&[7, 8]).fill(cases::SMALL_SHARES), labels(&[7], 8)])
            .attrs(attrs(Reduction::None, 0.0))
            .upstream(cases::SMALL_UPSTREAM)
            .no_gradcheck(),
        pair("large", 129, 65).attrs(attrs(Reduction::Mean, 0.0)).no_gradcheck(),
        pair("classes", 3, 700).attrs(attrs(Reduction::None, 0.1)).no_gradcheck(),
        pair("more classes", 20, 10_000).attrs(attrs(Reduction::Mean, 0.0)).no_gradcheck(),
        Case::new("weighted classes", vec![logits(&[3, 700]), labels(&[3], 700), weight(700)])
            .attrs(attrs(Reduction::Mean, 0.2))
            .no_gradcheck(),
        pair("one", 1, 1).attrs(attrs(Reduction::Mean, 0.0)),
        Case::new("shapes", vec![logits(&[5, 4]), labels(&[4], 4)]).attrs(attrs(Reduction::Mean, 0.0)).fails(),
        Case::new("floats", vec![logits(&[5, 4]), logits(&[5])]).attrs(attrs(Reduction::Mean, 0.0)).fails(),
        pair("smoothing", 5, 4).attrs(attrs(Reduction::Mean, 1.5)).fails(),
    ]
}

methods! {
    /// The mean cross-entropy of these logits `[N, C, …]` against class numbers `[N, …]` (i32), or against class
    /// probabilities `[N, C, …]` (f32).
    ///
    /// A class number outside `0..C` is found on the device: nothing is updated from then on, and the next read
    /// returns [`Error::Index`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let logits = Tensor::from_slice(&[0.0f32, 0.0, 100.0, 0.0], &[2, 2]);
    /// let loss = logits.cross_entropy(&Tensor::from_slice(&[1, 0], &[2]));
    /// assert!((loss.item::<f32>()? - 0.5 * 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn cross_entropy / try_cross_entropy (&self, target: &Tensor) -> Tensor {
        self.try_cross_entropy_with(target, &CrossEntropyOptions::default())
    }

    /// [`Self::cross_entropy`] with class weights, another reduction, an ignored class or label smoothing.
    ///
    /// With probabilities the mean is that of all rows, weighted or not, and no class can be ignored.
    pub fn cross_entropy_with / try_cross_entropy_with (
        &self, target: &Tensor, options: &CrossEntropyOptions<'_>
    ) -> Tensor {
        let probabilities = target.dtype().is_float();
        if probabilities && options.ignore_index >= 0 {
            let detail = "ignore_index takes class numbers as target, not probabilities";
            return Err(Error::argument("cross_entropy", detail));
        }
        let operation = if probabilities { &cross_entropy_probs::CROSS_ENTROPY_PROBS } else { &CROSS_ENTROPY };
        let attrs = Attrs::new()
            .str("reduction", options.reduction.name())
            .int("ignore_index", options.ignore_index)
            .float("label_smoothing", options.label_smoothing);
        apply_to_rows(operation, self, target, options.weight, attrs)
    }
}

/// Runs a loss over classes; scores of a single sample may come without a batch.
pub(crate) fn apply_to_rows(
    operation: &'static Operation,
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    attrs: Attrs,
) -> Result<Tensor> {
    let without_batch = x.dim() == 1 && target.dim() <= 1 && (target.dim() == 0 || target.dtype().is_float());
    let (x, target) =
        if without_batch { (x.try_unsqueeze(0)?, target.try_unsqueeze(0)?) } else { (x.clone(), target.clone()) };
    let inputs = [&x, &target];
    let loss = match weight {
        Some(weight) => single(apply(operation, &[inputs[0], inputs[1], weight], attrs))?,
        None => single(apply(operation, &inputs, attrs))?,
    };
    if loss.dim() == 1 && without_batch { loss.try_reshape([0usize; 0]) } else { Ok(loss) }
}
