//! The negative log-likelihood of log-probabilities x against class numbers t, with class weights w:
//!
//! `loss = −w_t·x_t`, `dx_c = −w_t·[c = t]`; the mean is divided by the sum of the w_t.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html>

use smallvec::smallvec;

use super::class_loss::{
    self, ClassLossParams, Reduction, check_labels, check_scores, gradients, prepared, refuse_weight_gradient,
};
use super::cross_entropy::{apply_to_rows, reduce_rows};
use super::{Attrs, Call, Gradients, Operation, Outputs, Vjp, cases, methods};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;

/// The arguments of the negative log-likelihood besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct NllLossOptions<'a> {
    /// A factor for each class.
    pub weight: Option<&'a Tensor>,
    /// A class number whose samples count for nothing.
    pub ignore_index: i64,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

impl Default for NllLossOptions<'_> {
    fn default() -> Self {
        NllLossOptions { weight: None, ignore_index: -100, reduction: Reduction::Mean }
    }
}

static ROWS: Kernel = Kernel {
    name: "nll_loss.rows",
    source: &[include_str!("../../shaders/nll_loss.wgsl")],
    entry: "rows",
    bindings: &[
        Binding::Read("x"),
        Binding::Read("labels"),
        Binding::Read("weight"),
        Binding::Write("losses"),
        Binding::Write("weights"),
        Binding::Faults,
    ],
    params: ParamsLayout::of::<ClassLossParams>(),
    variants: Variant::ONLY,
    grid: |p| class_loss::grid_of_rows(p, 1),
    reference: rows_twin,
    // One product.
    bound: |_| Bound::ulps(1.0),
};

static BACKWARD: Kernel = Kernel {
    name: "nll_loss.backward",
    source: &[include_str!("../../shaders/nll_loss.wgsl")],
    entry: "backward",
    bindings: &[
        Binding::Read("row_labels"),
        Binding::Read("class_weights"),
        Binding::Read("g"),
        Binding::Read("divided_by"),
        Binding::Write("dx"),
    ],
    params: ParamsLayout::of::<ClassLossParams>(),
    variants: Variant::ONLY,
    grid: class_loss::grid_of_scores,
    reference: backward_twin,
    // A division, which Vulkan grants 2.5 ulp, and a product.
    bound: |_| Bound::ulps(4.0),
};

fn rows_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let (x, labels) = (call.floats(0), call.ints(1));
    let (mut losses, mut weights) = (call.floats_mut(3), call.floats_mut(4));
    for row in 0..p.rows {
        let label = labels[(p.target_offset + row) as usize];
        let at = row as usize;
        (losses[at], weights[at]) = if label == p.ignore_index {
            (0.0, 0.0)
        } else if label < 0 || label as u32 >= p.classes {
            return Err(call.fault(p.site, i64::from(label), i64::from(p.classes)));
        } else {
            let own = p.class_weight(call, 2, label as u32);
            (-own * x[p.at(row, label as u32)], own)
        };
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ClassLossParams = call.params();
    let (labels, g, divisor, mut dx) = (call.ints(0), call.floats(2), call.floats(3), call.floats_mut(4));
    for i in 0..p.rows * p.classes {
        let (row, class) = p.row_and_class(i);
        let label = labels[(p.target_offset + row) as usize];
        dx[(p.result_offset + i) as usize] = if label == p.ignore_index {
            0.0
        } else if label < 0 || label as u32 >= p.classes {
            f64::NAN
        } else if label as u32 == class {
            -p.class_weight(call, 1, class) * g[p.upstream(row)] / divisor[0]
        } else {
            0.0
        };
    }
    Ok(())
}

/// The operation `nll_loss`: inputs log-probabilities `[N, C, …]`, class numbers `[N, …]`, and perhaps class weights
/// `[C]`. Sum and mean are made by a kernel of `cross_entropy`.
pub(crate) static NLL_LOSS: Operation =
    Operation { name: "nll_loss", kernels: &[&ROWS, &BACKWARD], forward, vjp: Some(vjp), cases };

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let op = call.op();
    check_scores(op, call.input(0), call.inputs().get(2).copied())?;
    check_labels(op, call.input(0), call.input(1))?;
    let (x, target, weight) = prepared(call.inputs())?;
    let params = ClassLossParams::new(op, call.attrs(), &x, &target, weight.as_ref());
    let rows = params.rows as usize;
    let (losses, weights) = (call.output(DType::F32, &[rows]), call.output(DType::F32, &[rows]));
    let bound = weight.as_ref().unwrap_or(&x);
    call.dispatch(&ROWS, 0, &[&x, &target, bound, &losses, &weights], &params);
    let (loss, divisor) = reduce_rows(call, &params, &losses, &weights)?;
    call.save(&target);
    call.save(&divisor);
    if let Some(weight) = &weight {
        call.save(weight);
    }
    let each = call.attrs().get_str("reduction") == "none";
    Ok(smallvec![if each { losses.try_reshape(target.shape())? } else { loss }])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    refuse_weight_gradient("nll_loss", v)?;
    let (target, divisor) = (v.saved(0), v.saved(1));
    let weight = (v.saved_len() > 2).then(|| v.saved(2));
    let g = v.gradient().try_contiguous()?;
    let dx = v.gradient_output(0);
    // Of the scores only their shape counts: the gradient has it too.
    let params = ClassLossParams::new("nll_loss", v.attrs(), &dx, &target, weight.as_ref());
    let params = params.with_gradient(v.attrs(), &g, &dx);
    v.dispatch(&BACKWARD, 0, &[&target, weight.as_ref().unwrap_or(&g), &g, &divisor, &dx], &params);
    Ok(gradients(v, Some(dx), None))
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let attrs = |reduction: Reduction, ignored: i64| {
        Attrs::new().str("reduction", reduction.name()).int("ignore_index", ignored)
    };
    let (scores, labels) = (Input::floats, |n: &[usize], c| Input::ints(n, 0, c));
    let pair = |name: &str, n, c| Case::new(name, vec![scores(&[n, c]), labels(&[n], c as i64)]);
    let weight = |c| Input::floats(&[c]).fill(cases::POSITIVE).constant();
    vec![
        pair("mean", 5, 4).attrs(attrs(Reduction::Mean, -100)),
        pair("sum", 5, 4).attrs(attrs(Reduction::Sum, -100)),
        pair("none", 5, 4).attrs(attrs(Reduction::None, -100)),
        pair("one", 1, 1).attrs(attrs(Reduction::Mean, -100)),
        Case::new("weights", vec![scores(&[5, 4]), labels(&[5], 4), weight(4)]).attrs(attrs(Reduction::Mean, -100)),
        Case::new("images", vec![scores(&[2, 3, 4, 2]), labels(&[2, 4, 2], 3), weight(3)])
            .attrs(attrs(Reduction::None, 1)),
        Case::new("transposed", vec![scores(&[5, 4]).arranged(Arrangement::Transposed), labels(&[5], 4)])
            .attrs(attrs(Reduction::Sum, -100)),
        Case::new("strided", vec![scores(&[5, 4]).arranged(Arrangement::Strided), labels(&[5], 4)])
            .attrs(attrs(Reduction::Mean, -100)),
        Case::new("ignored", vec![scores(&[6, 3]), labels(&[6], 3)]).attrs(attrs(Reduction::Mean, 1)),
        pair("large", 257, 65).attrs(attrs(Reduction::Mean, -100)).no_gradcheck(),
        pair("empty", 0, 3).attrs(attrs(Reduction::Sum, -100)),
        Case::new("shapes", vec![scores(&[5, 4]), labels(&[4], 4)]).attrs(attrs(Reduction::Mean, -100)).fails(),
        Case::new("floats", vec![scores(&[5, 4]), scores(&[5])]).attrs(attrs(Reduction::Mean, -100)).fails(),
        Case::new("few weights", vec![scores(&[5, 4]), labels(&[5], 4), weight(3)])
            .attrs(attrs(Reduction::Mean, -100))
            .fails(),
    ]
}

methods! {
    /// The mean negative log-likelihood of these log-probabilities `[N, C, …]`, such as [`Self::log_softmax`] gives,
    /// against class numbers `[N, …]` (i32).
    ///
    /// A class number outside `0..C` is found on the device: nothing is updated from then on, and the next read
    /// returns [`crate::Error::Index`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let scores = Tensor::from_slice(&[-0.5f32, -2.0, -3.0, -0.25], &[2, 2]);
    /// let loss = scores.nll_loss(&Tensor::from_slice(&[0, 1], &[2]));
    /// assert_eq!(loss.item::<f32>()?, 0.375);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn nll_loss / try_nll_loss (&self, target: &Tensor) -> Tensor {
        self.try_nll_loss_with(target, &NllLossOptions::default())
    }

    /// [`Self::nll_loss`] with class weights, another reduction or an ignored class.
    pub fn nll_loss_with / try_nll_loss_with (&self, target: &Tensor, options: &NllLossOptions<'_>) -> Tensor {
        let attrs =
            Attrs::new().str("reduction", options.reduction.name()).int("ignore_index", options.ignore_index);
        apply_to_rows(&NLL_LOSS, self, target, options.weight, attrs)
    }
}
