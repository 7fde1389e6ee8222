//! Losses of elements against targets: the wrapper around the maths of each.
//!
//! A page here declares its loss with `loss!`; its shader file holds only the maths. A mean or a sum of few
//! elements is one dispatch, its gradient another.

pub(crate) mod binary_cross_entropy;
pub(crate) mod binary_cross_entropy_with_logits;
pub(crate) mod huber_loss;
pub(crate) mod kl_div;
pub(crate) mod l1_loss;
pub(crate) mod likelihoods;
pub(crate) mod margins;
pub(crate) mod mse_loss;
pub(crate) mod smooth_l1_loss;

use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use smallvec::smallvec;

use super::class_loss::Reduction;
use super::matmul::check_floats;
use super::reduce::reduce;
use super::reduce::sum::SUM_KERNELS;
use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, fill, single};
use crate::dtype::DType;
use crate::engine::fault;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, Params, WORKGROUP};
use crate::tensor::shape::{Walk, broadcast, broadcast_strides, numel, strided_offset};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/loss.wgsl`.
    pub struct LossParams {
        n: u32,
        rank: u32,
        part: u32,
        given: u32,
        numbers: [f32; 4],
        offsets: [u32; 8],
        shape: [u32; 8],
        strides: [u32; 40],
    }
}

/// What a loss is computed from: input, target, and how much a positive weighs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub x: f64,
    pub t: f64,
    pub p: f64,
}

/// The maths of a loss, with its numbers.
pub(crate) type LossFn = fn(Element, [f64; 4]) -> f64;
/// The maths of a gradient: upstream gradient first.
pub(crate) type GradientFn = fn(f64, Element, [f64; 4]) -> f64;

/// A loss as its page declares it.
pub(crate) struct Loss {
    /// The loss of each element.
    pub each: &'static Kernel,
    /// The sum of a part of them.
    pub total: &'static Kernel,
    /// The gradients of input and target.
    pub gradients: [&'static Kernel; 2],
    /// The numbers of the loss.
    pub numbers: fn(&Attrs) -> [f64; 3],
    /// Whether input and target must have one shape; otherwise they are broadcast.
    pub same_shape: bool,
}

/// Elements that a workgroup should have before it pays to spread a sum over more of them: on a software driver, where a
/// second dispatch costs as much as thousands of elements, and on a GPU.
const LONG: (u32, u32) = (16_384, 2_048);
/// Workgroups over which a sum is spread if it is not too long for them.
const SPREAD: u32 = 256;
/// Elements of a part at most. lavapipe ends all loops of a shader after 65,535 iterations together, without a word; an
/// element takes one, and up to seven for its place in each of four operands.
const PART: u32 = 65_536;

pub(crate) const FORWARD_BINDINGS: &[Binding] = &[
    Binding::Read("x"),
    Binding::Read("t"),
    Binding::Read("weight"),
    Binding::Read("pos_weight"),
    Binding::Write("losses"),
];

pub(crate) const BACKWARD_BINDINGS: &[Binding] = &[
    Binding::Read("x"),
    Binding::Read("t"),
    Binding::Read("weight"),
    Binding::Read("pos_weight"),
    Binding::Read("g"),
    Binding::Write("d"),
];

/// Declares a loss: its kernels, from the maths in `shaders/losses/NAME.wgsl`, and its row of the registry.
macro_rules! loss {
    (@kernel $name:literal, $entry:literal, $bindings:ident, $grid:ident, $twin:expr, $bound:expr) => {
        $crate::engine::Kernel {
            name: concat!($name, ".", $entry),
            source: &[
                include_str!("../../../shaders/losses/loss.wgsl"),
                include_str!(concat!("../../../shaders/losses/", $name, ".wgsl")),
            ],
            entry: $entry,
            bindings: $crate::ops::losses::$bindings,
            params: $crate::engine::ParamsLayout::of::<$crate::ops::losses::LossParams>(),
            variants: $crate::ops::elementwise::FLOAT,
            grid: $crate::ops::losses::$grid,
            reference: $twin,
            bound: $bound,
        }
    };
    (
        $static:ident, $name:literal,
        loss: $loss:expr,
        magnitude: $magnitude:expr,
        ulps: $ulps:expr,
        input: $input:expr,
        input_bound: $input_bound:expr,
        target: $target:expr,
        target_bound: $target_bound:expr,
        $(numbers: $numbers:expr,)?
        same_shape: $same_shape:expr,
        cases: $cases:expr $(,)?
    ) => {
        static EACH: $crate::engine::Kernel = $crate::ops::losses::loss!(
            @kernel $name, "each", FORWARD_BINDINGS, grid_of_elements,
            |call| $crate::ops::losses::each_twin(call, $loss),
            |_| $crate::engine::Bound::Scaled {
                ulps: $ulps,
                magnitude: |call| $crate::ops::losses::each_twin(call, $magnitude),
            }
        );
        static TOTAL: $crate::engine::Kernel = $crate::ops::losses::loss!(
            @kernel $name, "total", FORWARD_BINDINGS, grid_of_parts,
            |call| $crate::ops::losses::total_twin(call, $loss, |w| w),
            |p| $crate::ops::losses::total_bound(p, $ulps, |call| {
                $crate::ops::losses::total_twin(call, $magnitude, f64::abs)
            })
        );
        static INPUT: $crate::engine::Kernel = $crate::ops::losses::loss!(
            @kernel $name, "backward_input", BACKWARD_BINDINGS, grid_of_elements,
            |call| $crate::ops::losses::gradient_twin(call, $input),
            |_| $input_bound
        );
        static TARGET: $crate::engine::Kernel = $crate::ops::losses::loss!(
            @kernel $name, "backward_target", BACKWARD_BINDINGS, grid_of_elements,
            |call| $crate::ops::losses::gradient_twin(call, $target),
            |_| $target_bound
        );
        static LOSS: $crate::ops::losses::Loss = $crate::ops::losses::Loss {
            each: &EACH,
            total: &TOTAL,
            gradients: [&INPUT, &TARGET],
            numbers: $crate::ops::losses::loss!(@numbers $($numbers)?),
            same_shape: $same_shape,
        };
        #[doc = concat!("The operation `", $name, "`: inputs input and target, and perhaps weights.")]
        pub(crate) static $static: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: &[&EACH, &TOTAL, &INPUT, &TARGET],
            forward: |call| $crate::ops::losses::forward(call, &LOSS),
            vjp: Some(|v| $crate::ops::losses::vjp(v, &LOSS)),
            cases: $cases,
        };
    };
    (@numbers) => { |_| [0.0; 3] };
    (@numbers $numbers:expr) => { $numbers };
}
pub(crate) use loss;

pub(crate) fn grid_of_elements(params: &Params<'_>) -> Grid {
    let p: &LossParams = params.get();
    Grid::elements(p.n).work(u64::from(p.n) * 40)
}

pub(crate) fn grid_of_parts(params: &Params<'_>) -> Grid {
    let p: &LossParams = params.get();
    Grid::groups(u64::from(p.n.div_ceil(p.part))).work(u64::from(p.n.max(WORKGROUP)) * 40)
}

/// The bound of a sum of losses: that of each, and of the sum in the square root of the number of terms.
pub(crate) fn total_bound(params: &Params<'_>, ulps: f64, magnitude: fn(&HostCall<'_>) -> Result<()>) -> Bound {
    let part = f64::from(params.get::<LossParams>().part);
    Bound::Scaled { ulps: ulps + 2.0 + 2.0 * part.sqrt(), magnitude }
}

impl LossParams {
    /// Where element `i` of an operand lies: twin of `operand_offset`.
    fn operand(&self, i: u32, operand: usize) -> usize {
        let strides = &self.strides[8 * operand..8 * (operand + 1)];
        self.offsets[operand] as usize + strided_offset(i, self.rank, &self.shape, strides)
    }

    fn result(&self, i: u32) -> usize {
        (self.offsets[5] + i) as usize
    }

    fn element(&self, call: &HostCall<'_>, i: u32) -> Element {
        let p = if self.given & 2 == 0 { 1.0 } else { call.floats(3)[self.operand(i, 3)] };
        Element { x: call.floats(0)[self.operand(i, 0)], t: call.floats(1)[self.operand(i, 1)], p }
    }

    fn weight(&self, call: &HostCall<'_>, i: u32) -> f64 {
        if self.given & 1 == 0 { 1.0 } else { call.floats(2)[self.operand(i, 2)] }
    }

    fn numbers(&self) -> [f64; 4] {
        self.numbers.map(f64::from)
    }
}

pub(crate) fn each_twin(call: &HostCall<'_>, loss: LossFn) -> Result<()> {
    let p: &LossParams = call.params();
    let mut losses = call.floats_mut(4);
    (0..p.n).for_each(|i| losses[p.result(i)] = loss(p.element(call, i), p.numbers()) * p.weight(call, i));
    Ok(())
}

/// The sums of parts; `weigh` makes magnitudes of weights where the losses are magnitudes.
pub(crate) fn total_twin(call: &HostCall<'_>, loss: LossFn, weigh: fn(f64) -> f64) -> Result<()> {
    let p: &LossParams = call.params();
    let mut losses = call.floats_mut(4);
    for part in 0..p.n.div_ceil(p.part) {
        let range = part * p.part..((part + 1) * p.part).min(p.n);
        let sum: f64 = range.map(|i| loss(p.element(call, i), p.numbers()) * weigh(p.weight(call, i))).sum();
        losses[p.result(part)] = sum * p.numbers()[3];
    }
    Ok(())
}

pub(crate) fn gradient_twin(call: &HostCall<'_>, gradient: GradientFn) -> Result<()> {
    let p: &LossParams = call.params();
    let (g, mut d) = (call.floats(4), call.floats_mut(5));
    for i in 0..p.n {
        let upstream = g[p.operand(i, 4)] * p.numbers()[3] * p.weight(call, i);
        d[p.result(i)] = gradient(upstream, p.element(call, i), p.numbers());
    }
    Ok(())
}

/// The tensors of a call; a weight that is missing is bound as the input, which nobody reads then.
struct Operands {
    x: Tensor,
    t: Tensor,
    weight: Option<Tensor>,
    pos_weight: Option<Tensor>,
}

impl Operands {
    fn new(attrs: &Attrs, inputs: impl IntoIterator<Item = Tensor>) -> Operands {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("a loss has the inputs that its arguments name");
        let (x, t) = (next(), next());
        let weight = has(attrs, "weight").then(&mut next);
        let pos_weight = has(attrs, "pos_weight").then(&mut next);
        Operands { x, t, weight, pos_weight }
    }

    /// The shape that all are broadcast to.
    fn shape(&self, op: &'static str, same_shape: bool) -> Result<Shape> {
        let all = [Some(&self.x), Some(&self.t), self.weight.as_ref(), self.pos_weight.as_ref()];
        for tensor in all.into_iter().flatten() {
            check_floats(op, &[tensor])?;
        }
        if same_shape && self.x.shape() != self.t.shape() {
            let (x, t) = (self.x.shape(), self.t.shape());
            let detail =
                format!("the target must have the shape of the input, {x:?}, it has {t:?}; reshape one of them");
            return Err(Error::shape(op, detail));
        }
        let shape = broadcast(op, self.x.shape(), self.t.shape())?;
        for (name, weight) in [("weight", &self.weight), ("pos_weight", &self.pos_weight)] {
            let Some(weight) = weight else { continue };
            if broadcast(op, &shape, weight.shape())? != shape {
                let detail = format!(
                    "a {name} of shape {:?} does not broadcast to the losses' {:?}",
                    weight.shape(),
                    &shape[..]
                );
                return Err(Error::shape(op, detail));
            }
        }
        Ok(shape)
    }

    /// The four operands in the order of the bindings.
    fn bound(&self) -> [&Tensor; 4] {
        let or_input = |t: &'static str| match t {
            "weight" => self.weight.as_ref().unwrap_or(&self.x),
            _ => self.pos_weight.as_ref().unwrap_or(&self.x),
        };
        [&self.x, &self.t, or_input("weight"), or_input("pos_weight")]
    }

    fn params(
        &self,
        op: &'static str,
        shape: &[usize],
        (g, result): (Option<&Tensor>, &Tensor),
        numbers: [f32; 4],
    ) -> Result<LossParams> {
        let operands = [Some(&self.x), Some(&self.t), self.weight.as_ref(), self.pos_weight.as_ref(), g];
        let strides: [Shape; 5] = std::array::from_fn(|i| match operands[i] {
            Some(operand) => broadcast_strides(operand.shape(), operand.strides(), shape),
            None => std::iter::repeat_n(0, shape.len()).collect(),
        });
        let (walk, _) = Walk::new(op, shape, std::array::from_fn::<_, 5, _>(|i| &strides[i][..]), shape.len())?;
        let given = u32::from(self.weight.is_some()) + 2 * u32::from(self.pos_weight.is_some());
        let n = numel(shape) as u32;
        let mut params = LossParams {
            n,
            rank: walk.rank,
            part: n.max(1),
            given,
            numbers,
            offsets: [0; 8],
            shape: walk.shape,
            strides: [0; 40],
        };
        for (i, operand) in operands.iter().enumerate() {
            params.offsets[i] = operand.map_or(0, |t| t.offset() as u32);
            params.strides[8 * i..8 * (i + 1)].copy_from_slice(&walk.strides[i]);
        }
        params.offsets[5] = result.offset() as u32;
        Ok(params)
    }
}

fn has(attrs: &Attrs, name: &str) -> bool {
    attrs.get(name).is_some() && attrs.get_bool(name)
}

/// What the sum of the losses is multiplied by; 1 where they are not summed.
fn scale(attrs: &Attrs, x: &[usize], shape: &[usize]) -> f64 {
    match attrs.get_str("reduction") {
        "mean" => 1.0 / numel(shape) as f64,
        "batchmean" => 1.0 / x.first().map_or(1.0, |&n| n as f64),
        _ => 1.0,
    }
}

fn numbers(loss: &Loss, attrs: &Attrs, scale: f64) -> [f32; 4] {
    let [a, b, c] = (loss.numbers)(attrs).map(|v| v as f32);
    [a, b, c, scale as f32]
}

pub(crate) fn forward(call: &mut Call<'_>, loss: &'static Loss) -> Result<Outputs> {
    let op = call.op();
    let operands = Operands::new(call.attrs(), call.inputs().iter().map(|t| t.detach()));
    let shape = operands.shape(op, loss.same_shape)?;
    let scale = scale(call.attrs(), operands.x.shape(), &shape);
    for input in call.inputs() {
        call.save(input);
    }
    if call.attrs().get_str("reduction") == "none" {
        let y = call.output(DType::F32, &shape);
        let params = operands.params(op, &shape, (None, &y), numbers(loss, call.attrs(), 1.0))?;
        let [x, t, weight, pos_weight] = operands.bound();
        call.dispatch(loss.each, 0, &[x, t, weight, pos_weight, &y], &params);
        return Ok(smallvec![y]);
    }
    if numel(&shape) == 0 {
        // 0 · ∞, without asking a driver what it makes of it.
        return Ok(smallvec![fill::full(&[], 0.0 * scale, DType::F32, call.device())?]);
    }
    let y = call.output(DType::F32, &[]);
    let params = operands.params(op, &shape, (None, &y), numbers(loss, call.attrs(), scale))?;
    total(call, loss, &operands, params, &y)?;
    Ok(smallvec![y])
}

/// The sum of all losses, times the scale: of one part, or of as many as keep a device busy.
fn total(run: &mut Run<'_>, loss: &Loss, operands: &Operands, mut params: LossParams, y: &Tensor) -> Result<()> {
    let [x, t, weight, pos_weight] = operands.bound();
    let software = run.is_software();
    let long = if software { LONG.0 } else { LONG.1 };
    params.part = params.n.div_ceil((params.n / long).clamp(1, SPREAD)).min(PART);
    let parts = params.n.div_ceil(params.part);
    if parts == 1 {
        run.dispatch(loss.total, 0, &[x, t, weight, pos_weight, y], &params);
        return Ok(());
    }
    let scale = std::mem::replace(&mut params.numbers[3], 1.0);
    let sums = run.output(DType::F32, &[parts as usize]);
    params.offsets[5] = sums.offset() as u32;
    run.dispatch(loss.total, 0, &[x, t, weight, pos_weight, &sums], &params);
    reduce(run, &SUM_KERNELS, &sums, &[0], y, scale)
}

pub(crate) fn vjp(v: &mut Vjp<'_>, loss: &'static Loss) -> Result<Gradients> {
    let op = loss.each.name.split_once('.').map_or(loss.each.name, |(op, _)| op);
    if (2..v.inputs_len()).any(|i| v.needs(i)) {
        return Err(Error::Autograd(format!("{op}: weights have no gradient, as in PyTorch; detach them")));
    }
    let operands = Operands::new(v.attrs(), (0..v.inputs_len()).map(|i| v.saved(i)));
    let g = v.gradient();
    let shape = operands.shape(op, loss.same_shape)?;
    let numbers = numbers(loss, v.attrs(), scale(v.attrs(), operands.x.shape(), &shape));
    let [x, t, weight, pos_weight] = operands.bound();
    let mut gradients: Gradients = std::iter::repeat_n(None, v.inputs_len()).collect();
    for (i, kernel) in loss.gradients.into_iter().enumerate() {
        if !v.needs(i) {
            continue;
        }
        let same = v.input_shape(i) == &shape[..];
        let d = if same { v.gradient_output(i) } else { v.output(DType::F32, &shape) };
        let params = operands.params(op, &shape, (Some(g), &d), numbers)?;
        v.dispatch(kernel, 0, &[x, t, weight, pos_weight, g, &d], &params);
        gradients[i] = Some(d);
    }
    Ok(gradients)
}

/// Losses that broadcast, and warn of it.
const DIFFERENCES: [&str; 4] = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"];

/// Warns once a line of the program, as PyTorch does: `[N, 1]` against `[N]` is hardly ever meant. Whether it did.
#[track_caller]
fn warn_of_broadcast(op: &'static str, x: &Tensor, target: &Tensor) -> bool {
    static WARNED: Mutex<Vec<&Location<'_>>> = Mutex::new(Vec::new());
    let line = fault::users_line();
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    let new = !warned.contains(&line);
    if new {
        warned.push(line);
        log::warn!(
            "{op} at {line}: a target of shape {:?} is broadcast against an input of {:?}; give both one shape if that is \
             not meant",
            target.shape(),
            x.shape()
        );
    }
    new
}

/// Applies a loss to input, target and perhaps weights.
pub(crate) fn loss_apply(
    operation: &'static Operation,
    [x, target]: [&Tensor; 2],
    (weight, pos_weight): (Option<&Tensor>, Option<&Tensor>),
    attrs: Attrs,
) -> Result<Tensor> {
    let attrs = attrs.bool("weight", weight.is_some()).bool("pos_weight", pos_weight.is_some());
    if x.shape() != target.shape() && DIFFERENCES.contains(&operation.name) {
        warn_of_broadcast(operation.name, x, target);
    }
    let inputs: Vec<&Tensor> = [Some(x), Some(target), weight, pos_weight].into_iter().flatten().collect();
    single(apply(operation, &inputs, attrs))
}

/// The argument that every loss has.
pub(crate) fn reduced(reduction: Reduction) -> Attrs {
    Attrs::new().str("reduction", reduction.name())
}

/// Cases of a loss whose inputs and targets are filled so that no derivative jumps between them; `attrs` are added to each.
/// What is broadcast is left out for losses that refuse it.
pub(crate) fn loss_cases(
    x: cases::Fill,
    t: cases::Fill,
    broadcast: bool,
    attrs: fn(Attrs) -> Attrs,
) -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let pair = |name: &str, a: &[usize], b: &[usize], reduction: Reduction| {
        let inputs = vec![Input::floats(a).fill(x), Input::floats(b).fill(t)];
        Case::new(name, inputs).attrs(attrs(reduced(reduction)))
    };
    let arranged = |name: &str, shape: &[usize], arrangement| {
        let inputs = vec![Input::floats(shape).fill(x).arranged(arrangement), Input::floats(shape).fill(t)];
        Case::new(name, inputs).attrs(attrs(reduced(Reduction::Mean)))
    };
    let mut list = vec![
        pair("mean", &[4, 6], &[4, 6], Reduction::Mean),
        pair("sum", &[3, 5], &[3, 5], Reduction::Sum),
        pair("none", &[3, 5], &[3, 5], Reduction::None),
        pair("one", &[1], &[1], Reduction::Mean),
        pair("0-d", &[], &[], Reduction::Mean),
        pair("empty", &[0, 3], &[0, 3], Reduction::Mean),
        pair("empty sum", &[0, 3], &[0, 3], Reduction::Sum),
        pair("empty none", &[0, 3], &[0, 3], Reduction::None),
        arranged("transposed", &[5, 3], Arrangement::Transposed),
        arranged("strided", &[2, 3, 4], Arrangement::Strided),
        arranged("expanded", &[3, 4], Arrangement::Expanded),
        pair("large", &[130, 65], &[130, 65], Reduction::Mean).no_gradcheck(),
        pair("parts", &[3, 15_000], &[3, 15_000], Reduction::Mean).no_gradcheck(),
        pair("large none", &[130, 65], &[130, 65], Reduction::None).no_gradcheck(),
        pair("shapes", &[2, 3], &[2], Reduction::Mean).fails(),
        Case::new("integers", vec![Input::ints(&[3], 0, 2), Input::ints(&[3], 0, 2)])
            .attrs(attrs(reduced(Reduction::Mean)))
            .fails(),
    ];
    let row = [
        pair("row", &[3, 5], &[5], Reduction::Mean),
        pair("outer", &[3, 1], &[1, 5], Reduction::Sum),
        pair("scalar", &[2, 3], &[], Reduction::None),
    ];
    list.extend(row.into_iter().map(|case| if broadcast { case } else { case.fails() }));
    list
}

/// Every pair of extreme numbers whose difference has a finite square.
pub(crate) const WIDE: cases::Fill = cases::Fill::Values(&[
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-30,
    -1e-30,
    88.0,
    -88.0,
    1e4,
    -1e4,
    1e18,
    -1e18,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    0.5,
    -0.5,
]);

/// A case in which each of `x` meets each of `t`, one by one; `shape` for losses that do not broadcast.
pub(crate) fn extreme_case(x: cases::Fill, t: cases::Fill, attrs: Attrs) -> cases::Case {
    let inputs = vec![cases::Input::floats(&[17, 1]).fill(x), cases::Input::floats(&[1, 17]).fill(t)];
    cases::Case::new("extreme", inputs).attrs(attrs).no_gradcheck()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Device;

    #[test]
    fn a_line_that_broadcasts_a_target_is_named_once() {
        Device::reference().scope(|| {
            let (x, target) = (Tensor::ones(&[3, 1]), Tensor::ones(&[3]));
            let warned: Vec<bool> = (0..2).map(|_| warn_of_broadcast("mse_loss", &x, &target)).collect();
            assert_eq!(warned, [true, false]);
            let loss = x.mse_loss(&target).item::<f32>().unwrap();
            assert_eq!(loss, 0.0);
        });
    }
}
