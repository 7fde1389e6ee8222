//! Cross-entropy of logits x against class probabilities t, with class weights w and label smoothing ε over C classes.
//! With `q_c = w_c·((1−ε)·t_c + ε/C)`:
//!
//! `loss = Σ_c q_c·(lse − x_c)`, where `lse = log Σ_c exp x_c`;
//! `dx_c = p_c·Σq − q_c`, where `p_c = exp(x_c − lse)`; `dt_c = (1−ε)·w_c·(lse − x_c)`.
//!
//! The mean is divided by the number of rows. <https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>

use smallvec::smallvec;

use super::class_loss::{
    self, ClassLossParams, Reduction, check_scores, check_smoothing, gradients, prepared, refuse_weight_gradient,
};
use super::matmul::check_floats;
use super::reduce::{reduce, sum::SUM_KERNELS};
use super::{Attrs, Call, Gradients, Operation, Outputs, Vjp, cases, fill, softmax};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Shape;
use crate::{Error, Result};

macro_rules! kernel {
    ($entry:literal, [$($read:literal),*] -> [$($written:literal),*], $grid:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: concat!("cross_entropy_probs.", $entry),
            source: &[include_str!("../../shaders/cross_entropy_probs.wgsl")],
            entry: $entry,
            bindings: &[$(Binding::Read($read),)* $(Binding::Write($written)),*],
            params: ParamsLayout::of::<ClassLossParams>(),
            variants: Variant::ONLY,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}

macro_rules! rows_kernel {
    ($entry:literal, $grid:expr) => {
        kernel!(
            $entry, ["x", "wanted", "weight"] -> ["losses", "totals", "log_sums"],
            $grid,
            |call| rows_twin(call, false),
            // A sum of C exponentials below a logarithm, and a sum of C products with it.
            |p| Bound::Scaled {
                ulps: 8.0 + 2.0 * f64::from(p.get::<ClassLossParams>().classes).sqrt(),
                magnitude: |call| rows_twin(call, true),
            }
        )
    };
}

static ROWS_BY_THREAD: Kernel = rows_kernel!("rows_by_thread", |p| class_loss::grid_of_rows(p, 80));
static ROWS_BY_GROUP: Kernel = rows_kernel!("rows_by_group", |p| class_loss::grid_of_groups(p, 80));

static BACKWARD: Kernel = kernel!(
    "backward", ["x", "wanted", "weight", "g", "row_log_sums", "row_totals"] -> ["dx"],
    class_loss::grid_of_scores,
    |call| backward_twin(call, false),
    // An exponential whose argument d is rounded to an ulp of itself: d·exp(d) is below 0.4. Some products besides.
    |_| Bound::Scaled { ulps: 16.0, magnitude: |call| backward_twin(call, true) }
);

static BACKWARD_TARGET: Kernel = kernel!(
    "backward_target", ["x", "weight_of", "upstream", "log_sums_of"] -> ["dt"],
    class_loss::grid_of_scores,
    backward_target_twin,
    // A sum of two positive terms, and four products.
    |_| Bound::ulps(8.0)
);

/// What class `c` of a row counts; bindings 1 and 2 are probabilities and weights.
fn share(p: &ClassLossParams, call: &HostCall<'_>, row: u32, c: u32) -> f64 {
    let (sample, place) = (row / p.inner, row % p.inner);
    let t = call.floats(1)[(p.target_offset + (sample * p.classes + c) * p.inner + place) as usize];
    let smoothing = f64::from(p.label_smoothing);
    p.class_weight(call, 2, c) * ((1.0 - smoothing) * t + smoothing / f64::from(p.classes))
}

/// `magnitude`: with what the errors are measured by in the place of each result.
fn rows_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let x = call.floats(0);
    let (mut losses, mut totals, mut log_sums) = (call.floats_mut(3), call.floats_mut(4), call.floats_mut(5));
    let unit = if magnitude { 1.0 } else { 0.0 };
    for row in 0..p.rows {
        let at = row as usize;
        let logits = || (0..p.classes).map(|c| x[p.at(row, c)]);
        let largest = logits().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = logits().map(|v| (v - largest).exp()).sum::<f64>().ln();
        let q = |c: u32| {
            let q = share(p, call, row, c);
            if magnitude { q.abs() } else { q }
        };
        losses[at] = (0..p.classes).map(|c| q(c) * ((largest - x[p.at(row, c)]) + log_sum + unit)).sum();
        totals[at] = (0..p.classes).map(q).sum();
        (log_sums[2 * at], log_sums[2 * at + 1]) = (largest, log_sum + unit);
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let (x, g, log_sums, totals) = (call.floats(0), call.floats(3), call.floats(4), call.floats(5));
    let mut dx = call.floats_mut(6);
    for i in 0..p.rows * p.classes {
        let (row, class) = p.row_and_class(i);
        let at = row as usize;
        let (q, total) = (share(p, call, row, class), totals[at]);
        let d = if magnitude {
            q.abs() + total.abs()
        } else {
            (x[p.at(row, class)] - log_sums[2 * at] - log_sums[2 * at + 1]).exp() * total - q
        };
        dx[(p.result_offset + i) as usize] = g[p.upstream(row)] * f64::from(p.g_scale) * d;
    }
    Ok(())
}

fn backward_target_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let (x, g, log_sums, mut dt) = (call.floats(0), call.floats(2), call.floats(3), call.floats_mut(4));
    for i in 0..p.rows * p.classes {
        let (row, class) = p.row_and_class(i);
        let surprise = log_sums[2 * row as usize] - x[p.at(row, class)] + log_sums[2 * row as usize + 1];
        let d = (1.0 - f64::from(p.label_smoothing)) * p.class_weight(call, 1, class) * surprise;
        dt[(p.result_offset + i) as usize] = g[p.upstream(row)] * f64::from(p.g_scale) * d;
    }
    Ok(())
}

/// The operation `cross_entropy` with probabilities: inputs logits and probabilities `[N, C, …]`, and perhaps class
/// weights `[C]`.
pub(crate) static CROSS_ENTROPY_PROBS: Operation = Operation {
    name: "cross_entropy_probs",
    kernels: &[&ROWS_BY_THREAD, &ROWS_BY_GROUP, &BACKWARD, &BACKWARD_TARGET],
    forward,
    vjp: Some(vjp),
    cases,
};

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    const OP: &str = "cross_entropy";
    check_scores(OP, call.input(0), call.inputs().get(2).copied())?;
    check_floats(OP, &[call.input(1)])?;
    if call.input(0).shape() != call.input(1).shape() {
        let (x, target) = (call.input(0).shape(), call.input(1).shape());
        return Err(Error::shape(
            OP,
            format!(
                "logits of shape {x:?} need probabilities of that shape, not {target:?}; class numbers are i32 (`.long()`)"
            ),
        ));
    }
    check_smoothing(OP, call.attrs())?;
    let (x, target, weight) = prepared(call.inputs())?;
    let params = ClassLossParams::new(OP, call.attrs(), &x, &target, weight.as_ref());
    let rows = params.rows as usize;
    let (losses, totals) = (call.output(DType::F32, &[rows]), call.output(DType::F32, &[rows]));
    let log_sums = call.output(DType::F32, &[rows, 2]);
    let bound = weight.as_ref().unwrap_or(&x);
    let alone = softmax::by_thread(OP, call, params.rows, params.classes, params.inner)?;
    let kernel = if alone { &ROWS_BY_THREAD } else { &ROWS_BY_GROUP };
    call.dispatch(kernel, 0, &[&x, &target, bound, &losses, &totals, &log_sums], &params);
    for tensor in [&x, &target, &log_sums, &totals] {
        call.save(tensor);
    }
    if let Some(weight) = &weight {
        call.save(weight);
    }
    let mean = match call.attrs().get_str("reduction") {
        "none" => {
            let mut shape: Shape = x.shape().into();
            shape.remove(1);
            return Ok(smallvec![losses.try_reshape(&shape[..])?]);
        }
        reduction => reduction == "mean",
    };
    if mean && rows == 0 {
        // 0 / 0, without asking a driver what it makes of it.
        return Ok(smallvec![fill::full(&[], f64::NAN, DType::F32, call.device())?]);
    }
    let loss = call.output(DType::F32, &[]);
    reduce(call, &SUM_KERNELS, &losses, &[0], &loss, if mean { 1.0 / rows as f32 } else { 1.0 })?;
    Ok(smallvec![loss])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    refuse_weight_gradient("cross_entropy", v)?;
    let (x, target, log_sums, totals) = (v.saved(0), v.saved(1), v.saved(2), v.saved(3));
    let weight = (v.saved_len() > 4).then(|| v.saved(4));
    let g = v.gradient().try_contiguous()?;
    let mut params = ClassLossParams::new("cross_entropy", v.attrs(), &x, &target, weight.as_ref());
    if params.mean != 0 {
        params.g_scale = 1.0 / params.rows as f32;
    }
    let bound = weight.as_ref().unwrap_or(&x);
    let dx = v.needs(0).then(|| v.gradient_output(0));
    if let Some(dx) = &dx {
        let params = params.with_gradient(v.attrs(), &g, dx);
        v.dispatch(&BACKWARD, 0, &[&x, &target, bound, &g, &log_sums, &totals, dx], &params);
    }
    let dt = v.needs(1).then(|| v.gradient_output(1));
    if let Some(dt) = &dt {
        let params = params.with_gradient(v.attrs(), &g, dt);
        v.dispatch(&BACKWARD_TARGET, 0, &[&x, bound, &g, &log_sums, dt], &params);
    }
    Ok(gradients(v, dx, dt))
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = |reduction: Reduction, smoothing: f64| {
        let attrs = Attrs::new().str("reduction", reduction.name()).int("ignore_index", -100);
        attrs.float("label_smoothing", smoothing)
    };
    let logits = Input::floats;
    let wanted = |shape: &[usize]| Input::floats(shape).fill(Fill::Uniform(0.0, 1.0));
    let pair = |name: &str, shape: &[usize]| Case::new(name, vec![logits(shape), wanted(shape)]);
    let weight = |c| Input::floats(&[c]).fill(cases::POSITIVE).constant();
    let weighted = |name: &str, shape: &[usize]| Case::new(name, vec![logits(shape), wanted(shape), weight(shape[1])]);
    vec![
        pair("mean", &[5, 4]).attrs(attrs(Reduction::Mean, 0.0)),
        pair("sum", &[5, 4]).attrs(attrs(Reduction::Sum, 0.0)),
        pair("none", &[5, 4]).attrs(attrs(Reduction::None, 0.0)),
        pair("smooth", &[5, 4]).attrs(attrs(Reduction::Mean, 0.1)),
        pair("one", &[1, 1]).attrs(attrs(Reduction::Mean, 0.0)),
        weighted("weights", &[5, 4]).attrs(attrs(Reduction::Mean, 0.2)),
        weighted("images", &[2, 3, 4, 2]).attrs(attrs(Reduction::None, 0.1)),
        Case::new("constant", vec![logits(&[5, 4]), wanted(&[5, 4]).constant()]).attrs(attrs(Reduction::Sum, 0.0)),
        Case::new(
            "transposed",
            vec![logits(&[5, 4]).arranged(Arrangement::Transposed), wanted(&[5, 4]).arranged(Arrangement::Strided)],
        )
        .attrs(attrs(Reduction::Mean, 0.0)),
        Case::new("huge logits", vec![logits(&[7, 5]).fill(Fill::Uniform(-1e4, 1e4)), wanted(&[7, 5])])
            .attrs(attrs(Reduction::Mean, 0.0))
            .no_gradcheck(),
        Case::new(
            "small",
            vec![logits(&[7, 8]).fill(cases::SMALL_SHARES), wanted(&[7, 8]).fill(Fill::Values(&[0.0, 0.5, 0.0]))],
        )
        .attrs(attrs(Reduction::Sum, 0.0))
        .upstream(cases::SMALL_UPSTREAM)
        .no_gradcheck(),
        pair("large", &[129, 65]).attrs(attrs(Reduction::Mean, 0.0)).no_gradcheck(),
        weighted("classes", &[3, 700]).attrs(attrs(Reduction::None, 0.1)).no_gradcheck(),
        pair("more classes", &[2, 10_000]).attrs(attrs(Reduction::Mean, 0.0)).no_gradcheck(),
        pair("empty", &[0, 3]).attrs(attrs(Reduction::Sum, 0.0)),
        pair("empty mean", &[0, 3]).attrs(attrs(Reduction::Mean, 0.0)).no_gradcheck(),
        Case::new("shapes", vec![logits(&[5, 4]), wanted(&[5])]).attrs(attrs(Reduction::Mean, 0.0)).fails(),
        pair("smoothing", &[5, 4]).attrs(attrs(Reduction::Mean, 1.5)).fails(),
    ]
}
