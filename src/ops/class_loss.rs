//! What the losses of scores over classes share: reductions, params and checks of the arguments.

use super::matmul::check_floats;
use super::{Attrs, Gradients};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Grid, HostCall, Params, WORKGROUP, fault};
use crate::tensor::shape::numel;
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

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

    /// The losses, reduced.
    pub(crate) fn apply(self, losses: &Tensor) -> Result<Tensor> {
        match self {
            Reduction::Mean => losses.try_mean(),
            Reduction::Sum => losses.try_sum(),
            Reduction::None => Ok(losses.clone()),
        }
    }
}

params! {
    /// Twin of `Params` in `shaders/common/class_loss.wgsl`.
    pub struct ClassLossParams {
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
        g_scale: f32,
        site: u32,
    }
}

impl ClassLossParams {
    /// Params of a call; the tensors come from [`prepared`].
    pub fn new(
        op: &'static str,
        attrs: &Attrs,
        x: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
    ) -> ClassLossParams {
        let classes = x.shape()[1];
        ClassLossParams {
            rows: (x.numel() / classes) as u32,
            classes: classes as u32,
            inner: numel(&x.shape()[2..]).max(1) as u32,
            x_offset: x.offset() as u32,
            x_sample: x.strides()[0] as u32,
            x_class: x.strides()[1] as u32,
            // Dims behind the classes lie one behind the other: `prepared` sees to it.
            x_place: 1,
            target_offset: target.offset() as u32,
            weight_offset: weight.map_or(0, |w| w.offset() as u32),
            g_offset: 0,
            g_step: 0,
            result_offset: 0,
            has_weight: u32::from(weight.is_some()),
            mean: u32::from(attrs.get_str("reduction") == "mean"),
            ignore_index: attrs.get_int("ignore_index") as i32,
            label_smoothing: attrs.get("label_smoothing").map_or(0.0, |_| attrs.get_float("label_smoothing") as f32),
            g_scale: 1.0,
            site: fault::site(op),
        }
    }

    /// Params of the gradient: `g` is contiguous, one number or one for each row.
    pub fn with_gradient(self, attrs: &Attrs, g: &Tensor, result: &Tensor) -> ClassLossParams {
        let g_step = u32::from(attrs.get_str("reduction") == "none");
        ClassLossParams { g_offset: g.offset() as u32, g_step, result_offset: result.offset() as u32, ..self }
    }

    /// Where class `c` of a row lies.
    pub fn at(&self, row: u32, c: u32) -> usize {
        let (sample, place) = (row / self.inner, row % self.inner);
        (self.x_offset + sample * self.x_sample + place * self.x_place + c * self.x_class) as usize
    }

    /// Row and class of element `i` of a contiguous `[sample, class, place]`.
    pub fn row_and_class(&self, i: u32) -> (u32, u32) {
        let sample = i / self.inner / self.classes;
        (sample * self.inner + i % self.inner, i / self.inner % self.classes)
    }

    /// The upstream gradient of a row in binding `g` of a twin.
    pub fn upstream(&self, row: u32) -> usize {
        (self.g_offset + row * self.g_step) as usize
    }

    /// The factor of a class; `weight` is a binding of a twin.
    pub fn class_weight(&self, call: &HostCall<'_>, weight: usize, c: u32) -> f64 {
        if self.has_weight == 0 { 1.0 } else { call.floats(weight)[(self.weight_offset + c) as usize] }
    }
}

/// A thread a row; `per_class` operations for each class.
pub(crate) fn grid_of_rows(params: &Params<'_>, per_class: u64) -> Grid {
    let p: &ClassLossParams = params.get();
    Grid::elements(p.rows).work(u64::from(p.rows) * u64::from(p.classes) * per_class)
}

/// A workgroup a row.
pub(crate) fn grid_of_groups(params: &Params<'_>, per_class: u64) -> Grid {
    let p: &ClassLossParams = params.get();
    Grid::groups(u64::from(p.rows)).work(u64::from(p.rows) * u64::from(p.classes.max(WORKGROUP)) * per_class)
}

/// A thread a score.
pub(crate) fn grid_of_scores(params: &Params<'_>) -> Grid {
    let p: &ClassLossParams = params.get();
    Grid::elements(p.rows * p.classes).work(u64::from(p.rows) * u64::from(p.classes) * 40)
}

/// The tensors of a call as kernels take them: scores whose dims behind the classes lie one behind the other, target and
/// weight contiguous.
pub(crate) fn prepared(inputs: &[&Tensor]) -> Result<(Tensor, Tensor, Option<Tensor>)> {
    let x = inputs[0].detach();
    let x = if x.dim() == 2 { x } else { x.try_contiguous()? };
    let weight = inputs.get(2).map(|w| w.detach().try_contiguous()).transpose()?;
    Ok((x, inputs[1].detach().try_contiguous()?, weight))
}

/// Refuses scores that are not `[N, C, …]`, and weights that are not `[C]`.
pub(crate) fn check_scores(op: &'static str, x: &Tensor, weight: Option<&Tensor>) -> Result<()> {
    check_floats(op, &[x])?;
    if x.dim() < 2 || x.shape()[1] == 0 {
        return Err(Error::shape(op, format!("scores need the shape [N, C, …] with C > 0, they have {:?}", x.shape())));
    }
    let classes = x.shape()[1];
    let Some(weight) = weight else { return Ok(()) };
    check_floats(op, &[weight])?;
    if weight.shape() != [classes] {
        return Err(Error::shape(op, format!("the weight needs the shape [{classes}], it has {:?}", weight.shape())));
    }
    Ok(())
}

/// Refuses class numbers that are not i32 `[N, …]`.
pub(crate) fn check_labels(op: &'static str, x: &Tensor, target: &Tensor) -> Result<()> {
    if target.dtype() != DType::I32 {
        return Err(Error::dtype(op, format!("class numbers must be i32, not {}", target.dtype())));
    }
    let mut expected: Shape = x.shape().into();
    expected.remove(1);
    if target.shape() == expected.as_slice() {
        return Ok(());
    }
    let (scores, labels) = (x.shape(), target.shape());
    let detail = format!("scores of shape {scores:?} need class numbers of shape {expected:?}, they have {labels:?}");
    Err(Error::shape(op, detail))
}

/// Refuses a share outside 0 to 1.
pub(crate) fn check_smoothing(op: &'static str, attrs: &Attrs) -> Result<()> {
    let share = attrs.get_float("label_smoothing");
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::argument(op, format!("label_smoothing must lie between 0 and 1, not {share}")))
}

/// Refuses the gradient of class weights, which PyTorch does not have either.
pub(crate) fn refuse_weight_gradient(op: &'static str, v: &super::Vjp<'_>) -> Result<()> {
    if v.inputs_len() > 2 && v.needs(2) {
        return Err(Error::Autograd(format!("{op}: class weights have no gradient; detach them")));
    }
    Ok(())
}

/// The gradients of the scores and perhaps the target, and none for the rest.
pub(crate) fn gradients(v: &super::Vjp<'_>, x: Option<Tensor>, target: Option<Tensor>) -> Gradients {
    let mut gradients: Gradients = [x, target].into_iter().collect();
    gradients.resize(v.inputs_len(), None);
    gradients
}
