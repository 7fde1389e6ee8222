//! Cross-entropy of logits x against class numbers t, with class weights w and label smoothing ε over C classes:
//!
//! `loss = (1−ε)·w_t·(lse − x_t) + ε/C · Σ_c w_c·(lse − x_c)`, where `lse = log Σ_c exp x_c`;
//! `dx_c = (1−ε)·w_t·(p_c − [c = t]) + ε/C · (p_c·Σw − w_c)`, where `p_c = exp(x_c − lse)`.
//!
//! The mean is divided by the sum of the w_t. <https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>

use smallvec::smallvec;

use super::matmul::check_floats;
use super::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant, fault};
use crate::tensor::shape::numel;
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/cross_entropy.wgsl`.
    pub struct CrossEntropyParams {
        rows: u32,
        classes: u32,
        inner: u32,
        x_offset: u32,
        x_sample: u32,
        x_class: u32,
        x_place: u32,
        target_offset: u32,
        weight_offset: u32,
        g_offset: u32,
        g_step: u32,
        result_offset: u32,
        has_weight: u32,
        mean: u32,
        ignore_index: i32,
        label_smoothing: f32,
        site: u32,
    }
}

/// What becomes of the losses of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their (weighted) mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They are returned one by one.
    None,
}

impl Reduction {
    /// PyTorch's name.
    pub const fn name(self) -> &'static str {
        match self {
            Reduction::Mean => "mean",
            Reduction::Sum => "sum",
            Reduction::None => "none",
        }
    }
}

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

static ROWS: Kernel = Kernel {
    name: "cross_entropy.rows",
    source: &[include_str!("../../shaders/cross_entropy.wgsl")],
    entry: "rows",
    bindings: &[
        Binding::Read("x"),
        Binding::Read("labels"),
        Binding::Read("weight"),
        Binding::Write("losses"),
        Binding::Write("weights"),
        Binding::Write("log_sums"),
        Binding::Faults,
    ],
    params: ParamsLayout::of::<CrossEntropyParams>(),
    variants: Variant::ONLY,
    grid: |p| {
        let p: &CrossEntropyParams = p.get();
        Grid::elements(p.rows).work(u64::from(p.rows) * u64::from(p.classes) * 40)
    },
    reference: rows_twin,
    // A sum of at most C exponentials, each within 2 ulp, below a logarithm.
    bound: |p| Bound::Relative { ulps: 8.0 + f64::from(p.get::<CrossEntropyParams>().classes).sqrt(), floor: 1.0 },
};

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
    params: ParamsLayout::of::<CrossEntropyParams>(),
    variants: Variant::ONLY,
    grid: |p| Grid::groups(1).work(u64::from(p.get::<CrossEntropyParams>().rows) * 4),
    reference: reduce_twin,
    bound: |p| Bound::ulps(4.0 + 2.0 * f64::from(p.get::<CrossEntropyParams>().rows).sqrt()),
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
        Binding::Write("dx"),
    ],
    params: ParamsLayout::of::<CrossEntropyParams>(),
    variants: Variant::ONLY,
    grid: |p| {
        let p: &CrossEntropyParams = p.get();
        Grid::elements(p.rows * p.classes).work(u64::from(p.rows) * u64::from(p.classes) * 40)
    },
    reference: |call| backward_twin(call, false),
    // Probabilities are within |x − lse| + 4 ulp, at most 92 where they are not 0, of themselves; what they are
    // subtracted from is 1.
    bound: |_| Bound::Scaled { ulps: 100.0, magnitude: |call| backward_twin(call, true) },
};

/// Where class `c` of a row lies.
fn logit(p: &CrossEntropyParams, row: u32, c: u32) -> usize {
    (p.x_offset + row / p.inner * p.x_sample + row % p.inner * p.x_place + c * p.x_class) as usize
}

fn rows_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &CrossEntropyParams = call.params();
    let (x, labels, weight) = (call.floats(0), call.ints(1), call.floats(2));
    let (mut losses, mut weights, mut log_sums) = (call.floats_mut(3), call.floats_mut(4), call.floats_mut(5));
    let class_weight = |c: u32| if p.has_weight == 0 { 1.0 } else { weight[(p.weight_offset + c) as usize] };
    for row in 0..p.rows {
        let at = row as usize;
        let logits = || (0..p.classes).map(|c| x[logit(p, row, c)]);
        let largest = logits().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = logits().map(|v| (v - largest).exp()).sum::<f64>().ln();
        log_sums[at] = largest + log_sum;
        let label = labels[p.target_offset as usize + at];
        if label == p.ignore_index {
            (losses[at], weights[at]) = (0.0, 0.0);
            continue;
        }
        if label < 0 || label as u32 >= p.classes {
            return Err(call.fault(p.site, i64::from(label), i64::from(p.classes)));
        }
        let label = label as u32;
        let surprise = |c: u32| class_weight(c) * ((largest - x[logit(p, row, c)]) + log_sum);
        let smoothing = f64::from(p.label_smoothing);
        let mut loss = surprise(label);
        if smoothing > 0.0 {
            let all: f64 = (0..p.classes).map(surprise).sum();
            loss = (1.0 - smoothing) * loss + smoothing / f64::from(p.classes) * all;
        }
        (losses[at], weights[at]) = (loss, class_weight(label));
    }
    Ok(())
}

fn reduce_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &CrossEntropyParams = call.params();
    let rows = p.rows as usize;
    let (losses, weights, mut loss, mut divisor) =
        (call.floats(0), call.floats(1), call.floats_mut(2), call.floats_mut(3));
    let by = if p.mean != 0 { weights[..rows].iter().sum() } else { 1.0 };
    loss[0] = losses[..rows].iter().sum::<f64>() / by;
    divisor[0] = by;
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &CrossEntropyParams = call.params();
    let (x, labels, weight, g) = (call.floats(0), call.ints(1), call.floats(2), call.floats(3));
    let (log_sums, divisor, mut dx) = (call.floats(4), call.floats(5), call.floats_mut(6));
    let class_weight = |c: u32| if p.has_weight == 0 { 1.0 } else { weight[(p.weight_offset + c) as usize] };
    let all: f64 = (0..p.classes).map(class_weight).sum();
    let smoothing = f64::from(p.label_smoothing);
    for i in 0..p.rows * p.classes {
        let (place, class, sample) = (i % p.inner, i / p.inner % p.classes, i / p.inner / p.classes);
        let row = sample * p.inner + place;
        let label = labels[(p.target_offset + row) as usize];
        let upstream = g[(p.g_offset + row * p.g_step) as usize] / divisor[0];
        let d = if label == p.ignore_index {
            0.0
        } else if label < 0 || label as u32 >= p.classes {
            f64::NAN
        } else if magnitude {
            class_weight(label as u32) + smoothing * all
        } else {
            let probability = (x[logit(p, row, class)] - log_sums[row as usize]).exp();
            let hit = f64::from(u8::from(class == label as u32));
            let own = class_weight(label as u32) * (probability - hit);
            let smooth = probability * all - class_weight(class);
            (1.0 - smoothing) * own + smoothing / f64::from(p.classes) * smooth
        };
        dx[(p.result_offset + i) as usize] = if d == 0.0 { 0.0 } else { upstream * d };
    }
    Ok(())
}

/// The operation `cross_entropy`: inputs logits `[N, C, …]`, class numbers `[N, …]`, and perhaps class weights `[C]`.
pub(crate) static CROSS_ENTROPY: Operation =
    Operation { name: "cross_entropy", kernels: &[&ROWS, &REDUCE, &BACKWARD], forward, vjp: Some(vjp), cases };

fn params(attrs: &Attrs, x: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> CrossEntropyParams {
    let inner = numel(&x.shape()[2..]);
    CrossEntropyParams {
        rows: target.numel() as u32,
        classes: x.shape()[1] as u32,
        inner: inner.max(1) as u32,
        x_offset: x.offset() as u32,
        x_sample: x.strides()[0] as u32,
        x_class: x.strides()[1] as u32,
        // Dims behind the classes lie one behind the other: the forward run sees to it.
        x_place: x.strides().get(2).map_or(0, |_| *x.strides().last().expect("has dims") as u32),
        target_offset: target.offset() as u32,
        weight_offset: weight.map_or(0, |w| w.offset() as u32),
        g_offset: 0,
        g_step: 0,
        result_offset: 0,
        has_weight: u32::from(weight.is_some()),
        mean: u32::from(attrs.get_str("reduction") == "mean"),
        ignore_index: attrs.get_int("ignore_index") as i32,
        label_smoothing: attrs.get_float("label_smoothing") as f32,
        site: fault::site("cross_entropy"),
    }
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, target) = (call.input(0), call.input(1).detach());
    let weight = call.inputs().get(2).copied();
    check(x, &target, weight, call.attrs())?;
    let x = if x.dim() == 2 { x.detach() } else { x.detach().try_contiguous()? };
    let target = target.try_contiguous()?;
    let weight = weight.map(|w| w.detach().try_contiguous()).transpose()?;
    let params = params(call.attrs(), &x, &target, weight.as_ref());
    let rows = params.rows as usize;
    let losses = call.output(DType::F32, &[rows]);
    let weights = call.output(DType::F32, &[rows]);
    let log_sums = call.output(DType::F32, &[rows]);
    let bound = weight.as_ref().unwrap_or(&x);
    call.dispatch(&ROWS, 0, &[&x, &target, bound, &losses, &weights, &log_sums], &params);
    let loss = call.output(DType::F32, &[]);
    let divisor = call.output(DType::F32, &[1]);
    call.dispatch(&REDUCE, 0, &[&losses, &weights, &loss, &divisor], &params);
    for tensor in [&x, &target, &log_sums, &divisor] {
        call.save(tensor);
    }
    if let Some(weight) = &weight {
        call.save(weight);
    }
    let each = call.attrs().get_str("reduction") == "none";
    Ok(smallvec![if each { losses.try_reshape(target.shape())? } else { loss }])
}

fn check(x: &Tensor, target: &Tensor, weight: Option<&Tensor>, attrs: &Attrs) -> Result<()> {
    const OP: &str = "cross_entropy";
    check_floats(OP, &[x])?;
    if target.dtype() != DType::I32 {
        return Err(Error::dtype(OP, format!("class numbers must be i32, not {}", target.dtype())));
    }
    let mut expected: Shape = x.shape().into();
    if x.dim() < 2 || x.shape()[1] == 0 {
        return Err(Error::shape(OP, format!("logits need the shape [N, C, …] with C > 0, they have {:?}", x.shape())));
    }
    let classes = expected.remove(1);
    if target.shape() != expected.as_slice() {
        let detail = format!(
            "logits of shape {:?} need class numbers of shape {expected:?}, they have {:?}",
            x.shape(),
            target.shape()
        );
        return Err(Error::shape(OP, detail));
    }
    if let Some(w) = weight.filter(|w| w.shape() != [classes]) {
        return Err(Error::shape(OP, format!("the weight needs the shape [{classes}], it has {:?}", w.shape())));
    }
    if !(0.0..=1.0).contains(&attrs.get_float("label_smoothing")) {
        let detail = format!("label_smoothing must lie between 0 and 1, not {}", attrs.get_float("label_smoothing"));
        return Err(Error::argument(OP, detail));
    }
    Ok(())
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (x, target, log_sums, divisor) = (v.saved(0), v.saved(1), v.saved(2), v.saved(3));
    let weight = (v.saved_len() > 4).then(|| v.saved(4));
    if v.inputs_len() > 2 && v.needs(2) {
        return Err(Error::Autograd("cross_entropy: class weights have no gradient; detach them".into()));
    }
    let g = v.gradient().try_contiguous()?;
    let dx = v.gradient_output(0);
    let mut params = params(v.attrs(), &x, &target, weight.as_ref());
    params.g_offset = g.offset() as u32;
    params.g_step = u32::from(v.attrs().get_str("reduction") == "none");
    params.result_offset = dx.offset() as u32;
    let bound = weight.as_ref().unwrap_or(&x);
    v.dispatch(&BACKWARD, 0, &[&x, &target, bound, &g, &log_sums, &divisor, &dx], &params);
    let mut gradients: Gradients = smallvec![Some(dx)];
    gradients.resize(v.inputs_len(), None);
    Ok(gradients)
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
        pair("large", 129, 65).attrs(attrs(Reduction::Mean, 0.0)).no_gradcheck(),
        pair("one", 1, 1).attrs(attrs(Reduction::Mean, 0.0)),
        Case::new("shapes", vec![logits(&[5, 4]), labels(&[4], 4)]).attrs(attrs(Reduction::Mean, 0.0)).fails(),
        Case::new("floats", vec![logits(&[5, 4]), logits(&[5])]).attrs(attrs(Reduction::Mean, 0.0)).fails(),
        pair("smoothing", 5, 4).attrs(attrs(Reduction::Mean, 1.5)).fails(),
    ]
}

methods! {
    /// The mean cross-entropy of these logits `[N, C, …]` against class numbers `[N, …]` (i32).
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
    pub fn cross_entropy_with / try_cross_entropy_with (
        &self, target: &Tensor, options: &CrossEntropyOptions<'_>
    ) -> Tensor {
        // Logits of a single sample may come without a batch.
        let single_sample = self.dim() == 1 && target.dim() == 0;
        let (x, target) = if single_sample {
            (self.try_unsqueeze(0)?, target.try_unsqueeze(0)?)
        } else {
            (self.clone(), target.clone())
        };
        let attrs = Attrs::new()
            .str("reduction", options.reduction.name())
            .int("ignore_index", options.ignore_index)
            .float("label_smoothing", options.label_smoothing);
        let loss = match options.weight {
            Some(weight) => single(apply(&CROSS_ENTROPY, &[&x, &target, weight], attrs))?,
            None => single(apply(&CROSS_ENTROPY, &[&x, &target], attrs))?,
        };
        if loss.dim() == 1 && single_sample { loss.try_reshape(&[0usize; 0]) } else { Ok(loss) }
    }
}
