//! How operations take the two types of half the width.
//!
//! An operation that has no kernels for them runs on its inputs as f32, and its float outputs become halves again: that is
//! what PyTorch's own kernels do, element by element. The conversions are operations of the graph, so gradients come out
//! in the types of the inputs by themselves.
//!
//! Elementwise operations have kernels that do the same to eight elements a thread, with nothing written between
//! (`shaders/elementwise/halves.wgsl`): a third of the time on lavapipe (`cargo bench --bench elementwise -- " of "`), and one
//! dispatch for three or four. They take operands that lie in order, in whole vectors; others go the long way. What is
//! saved for the gradient is then halves, as in PyTorch. Nothing of this is seen in an operation's page.
//!
//! Matrix products, convolutions, batch norm and pooling see to halves themselves (`NATIVE`): some of their kernels read and write them, with sums
//! in f32.

use smallvec::{SmallVec, smallvec};

use super::call::apply_as_is;
use super::convolution::{conv, conv_transpose};
use super::elementwise::{Elementwise, ElementwiseParams, HALVES, half_variant};
use super::pooling::{avg_pool, max_pool};
use super::{Attrs, Operation, Outputs, Run, cast, linear, matmul, norm, transfer, unbind, views};
use crate::amp;
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::engine::Device;
use crate::tensor::{Layout, Tensor};
use crate::{Error, Result};

/// Operations that take halves as they are.
static NATIVE: &[&Operation] = &[
    &avg_pool::ADAPTIVE_AVG_POOL2D,
    &avg_pool::AVG_POOL2D,
    &cast::CAST,
    &conv::CONV1D,
    &conv::CONV2D,
    &conv_transpose::CONV_TRANSPOSE1D,
    &conv_transpose::CONV_TRANSPOSE2D,
    &linear::LINEAR,
    &matmul::MATMUL,
    &max_pool::ADAPTIVE_MAX_POOL2D,
    &max_pool::MAX_POOL2D,
    &max_pool::MIN_POOL2D,
    &transfer::TRANSFER,
    &unbind::UNBIND,
    &views::EXPAND,
    &views::PERMUTE,
    &views::RESHAPE_ONES,
    &views::SLICE,
    &views::VIEW,
];

/// Operations whose float inputs PyTorch wants in one type.
const ONE_TYPE: &[&str] = &[
    "matmul",
    "linear",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "lstm",
    "gru",
    "rnn",
    "scaled_dot_product_attention",
];

/// Operations whose result has the type of their first input; statistics and weights may be wider.
const AS_FIRST: &[&str] = &["batch_norm", "layer_norm", "group_norm", "rms_norm"];

/// Runs an operation that has inputs of half the width, or that autocast has a say in.
#[cold]
pub(super) fn apply(
    device: &Device,
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
    autocast: Option<DType>,
) -> Result<Outputs> {
    let Some(dtype) = autocast else { return widened(device, operation, inputs, attrs) };
    // What an operation runs inside is its own affair.
    amp::with_autocast_paused(|| match amp::autocast_to(operation, inputs, dtype)? {
        Some(inputs) => widened(device, operation, &inputs.iter().collect::<SmallVec<[&Tensor; 4]>>(), attrs),
        None => widened(device, operation, inputs, attrs),
    })
}

/// Runs an operation on its inputs as f32, unless it takes halves.
fn widened(device: &Device, operation: &'static Operation, inputs: &[&Tensor], attrs: Attrs) -> Result<Outputs> {
    if inputs.iter().all(|t| !t.dtype().is_half()) {
        return apply_as_is(device, operation, inputs, attrs);
    }
    if ONE_TYPE.contains(&operation.name) {
        check_one_type(operation.name, inputs)?;
    }
    let is_batch_norm = std::ptr::eq(operation, &norm::batch_norm::BATCH_NORM);
    if NATIVE.iter().any(|native| std::ptr::eq(*native, operation))
        || has_kernels(operation, inputs)
        || (is_batch_norm && norm::batch_norm::takes_halves(device, inputs, &attrs))
    {
        return apply_as_is(device, operation, inputs, attrs);
    }
    let written = written(operation.name, &attrs, inputs)?;
    if written.iter().any(|&i| inputs[i].dtype().is_half()) {
        return in_place(device, operation, inputs, attrs, &written);
    }
    let result = result_type(operation.name, inputs);
    let wide = inputs.iter().map(|t| wide(t)).collect::<Result<SmallVec<[Tensor; 4]>>>()?;
    let refs: SmallVec<[&Tensor; 4]> = wide.iter().collect();
    let outputs = apply_as_is(device, operation, &refs, attrs)?;
    let back = |t: Tensor| if t.dtype() == DType::F32 { t.try_to_dtype(result) } else { Ok(t) };
    outputs.into_iter().map(back).collect()
}

/// Whether an operation is elementwise and has kernels for these inputs.
fn has_kernels(operation: &Operation, inputs: &[&Tensor]) -> bool {
    let like_first =
        |t: &&Tensor| t.dtype() == inputs[0].dtype() && t.shape() == inputs[0].shape() && lies_in_eights(t);
    operation.kernels.iter().any(|kernel| kernel.variants == HALVES) && inputs.iter().all(like_first)
}

/// Whether the elements lie in order and in whole vectors of eight.
fn lies_in_eights(t: &Tensor) -> bool {
    let sizes = [t.numel(), t.offset()];
    t.is_contiguous() && t.numel() > 0 && sizes.iter().all(|n| n.is_multiple_of(8))
}

/// Runs an elementwise computation on halves of one type, the result last. The inputs of an operation lie as its kernel takes
/// them ([`has_kernels`]); the gradient of its result may lie in any way.
pub(super) fn dispatch(
    run: &mut Run<'_>,
    kernels: &'static Elementwise,
    operands: &[&Tensor],
    params: &ElementwiseParams,
) -> Result<()> {
    let (result, inputs) = operands.split_last().expect("a kernel has a result");
    let kernel = kernels.for_halves();
    let variant = half_variant(result.dtype()).expect("a computation on halves gives halves");
    if params.lies_in_eights() {
        run.dispatch(kernel, variant, operands, params);
        return Ok(());
    }
    let mut tensors: SmallVec<[Tensor; 4]> = SmallVec::new();
    for input in inputs {
        tensors.push(if lies_in_eights(input) { (*input).clone() } else { in_order(run, input)? });
    }
    let is_home = lies_in_eights(result);
    tensors.push(if is_home { (*result).clone() } else { run.output(result.dtype(), result.shape()) });
    let operands: SmallVec<[&Tensor; 4]> = tensors.iter().collect();
    let (target, inputs) = operands.split_last().expect("a kernel has a result");
    let lie = ElementwiseParams::new(kernel.name, result.shape(), inputs, target)?;
    assert!(lie.lies_in_eights(), "{} takes whole vectors of halves", kernel.name);
    let params = ElementwiseParams { extra: params.extra, scalars: params.scalars, ..lie };
    run.dispatch(kernel, variant, &operands, &params);
    if is_home { Ok(()) } else { cast::convert(run, target, result) }
}

fn in_order(run: &mut Run<'_>, x: &Tensor) -> Result<Tensor> {
    let copy = run.output(x.dtype(), x.shape());
    cast::convert(run, x, &copy)?;
    Ok(copy)
}

fn wide(t: &Tensor) -> Result<Tensor> {
    if t.dtype().is_half() { t.try_to_dtype(DType::F32) } else { Ok(t.clone()) }
}

/// The type of an operation's float outputs: the half type when all floats have it.
fn result_type(name: &str, inputs: &[&Tensor]) -> DType {
    let mut floats = inputs.iter().map(|t| t.dtype()).filter(|d| d.is_float());
    let first = floats.next().unwrap_or(DType::F32);
    if AS_FIRST.contains(&name) || floats.all(|d| d == first) { first } else { DType::F32 }
}

fn check_one_type(op: &'static str, inputs: &[&Tensor]) -> Result<()> {
    let mut floats = inputs.iter().map(|t| t.dtype()).filter(|d| d.is_float());
    let first = floats.next();
    match floats.find(|d| Some(*d) != first) {
        None => Ok(()),
        Some(other) => {
            let first = first.map_or("", DType::name);
            let hint = "convert one with `.to_dtype(..)`, or run it inside of `autocast`";
            Err(Error::dtype(op, format!("takes floats of one type, not {first} and {other}; {hint}")))
        }
    }
}

/// The inputs that an operation changes in place.
fn written(name: &'static str, attrs: &Attrs, inputs: &[&Tensor]) -> Result<SmallVec<[usize; 2]>> {
    match name {
        "batch_norm" => {
            let statistics: SmallVec<[usize; 2]> = norm::batch_norm::running(attrs).into_iter().flatten().collect();
            let half = statistics.iter().any(|&i| inputs[i].dtype().is_half());
            match half && attrs.get_bool("training") {
                true => Err(Error::dtype(name, "keeps running statistics in f32; convert them with `.float()`")),
                false => Ok(smallvec![]),
            }
        }
        "unscale_" | "update_scale_" => {
            let hint = "train parameters of f32 under `autocast`";
            Err(Error::dtype(name, format!("takes gradients in f32, not in halves; {hint}")))
        }
        "clip_grad_norm_" => Ok((2..inputs.len()).step_by(2).collect()),
        "clip_grad_value_" => Ok((1..inputs.len()).step_by(2).collect()),
        _ if name.ends_with('_') => Ok(smallvec![0]),
        _ => Ok(smallvec![]),
    }
}

/// Runs an operation that changes halves where they are. Two of them share a word, so that a kernel can't write one alone:
/// all of the memory goes to f32 and back.
fn in_place(
    device: &Device,
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
    written: &[usize],
) -> Result<Outputs> {
    let mut changed: SmallVec<[(Tensor, Tensor); 1]> = SmallVec::new();
    let mut wide_inputs: SmallVec<[Tensor; 4]> = SmallVec::new();
    for (i, input) in inputs.iter().enumerate() {
        if !written.contains(&i) || !input.dtype().is_half() || input.poison().is_some() {
            wide_inputs.push(wide(input)?);
            continue;
        }
        let whole = Layout { shape: smallvec![input.buffer()?.len], strides: smallvec![1], offset: 0 };
        let memory = input.view_as_layout(whole);
        let copy = no_grad(|| memory.try_to_dtype(DType::F32))?;
        let layout = Layout { shape: input.shape().into(), strides: input.strides().into(), offset: input.offset() };
        wide_inputs.push(copy.view_as_layout(layout));
        changed.push((copy, memory));
    }
    let refs: SmallVec<[&Tensor; 4]> = wide_inputs.iter().collect();
    let outputs = apply_as_is(device, operation, &refs, attrs)?;
    for (copy, memory) in &changed {
        cast::store(copy, memory)?;
        memory.bump_version();
    }
    Ok(outputs)
}
