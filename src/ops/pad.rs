//! `pad`: more elements at the ends of the last dims, or fewer where a pad is negative.
//!
//! What comes in the new places is a constant, the dim mirrored at its last elements, its last elements again, or the dim
//! again from its other end. The gradient of a constant is that of cropping; that of a copied element is the sum over the
//! places that it was copied to, dim by dim.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html>

use smallvec::{SmallVec, smallvec};

use super::elementwise::scalar_bits;
use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, MAX_RANK, ParamsLayout, Variant};
use crate::tensor::shape::{checked_numel, contiguous_strides, numel};
use crate::tensor::{IntoShape, Shape, Tensor};
use crate::{Error, Result};

/// What [`Tensor::pad`] puts in the new places. A number is a constant.
///
/// For `a b c d` and a pad of 2 on both sides:
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number: `0 0 a b c d 0 0`. For integers its whole part.
    Constant(f64),
    /// The dim mirrored at its first and last elements: `c b a b c d c b`.
    Reflect,
    /// The first and last elements: `a a a b c d d d`.
    Replicate,
    /// The dim again: `c d a b c d a b`.
    Circular,
}

impl From<f64> for PadMode {
    fn from(value: f64) -> Self {
        PadMode::Constant(value)
    }
}

/// Names of the modes in attributes, by their number in the shaders.
const MODES: [&str; 4] = ["constant", "reflect", "replicate", "circular"];
const CONSTANT: u32 = 0;
const REFLECT: u32 = 1;
const REPLICATE: u32 = 2;
const CIRCULAR: u32 = 3;

params! {
    /// Twin of `Params` in `shaders/pad.wgsl`.
    pub struct PadParams {
        n: u32,
        rank: u32,
        mode: u32,
        value: u32,
        offset: u32,
        result_offset: u32,
        spare: [u32; 2],
        result_shape: [u32; MAX_RANK],
        shape: [u32; MAX_RANK],
        strides: [u32; MAX_RANK],
        before: [i32; MAX_RANK],
    }
}

static FORWARD: Kernel = Kernel {
    name: "pad.forward",
    source: &[include_str!("../../shaders/pad.wgsl")],
    entry: "forward",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<PadParams>(),
    variants: Variant::STORAGE,
    grid: |p| Grid::elements(p.get::<PadParams>().n),
    reference: twin,
    bound: |_| Bound::Exact,
};

/// The element that comes at place `c` of a dim, counted from its first element.
fn place(mode: u32, c: i64, size: i64) -> Option<i64> {
    match mode {
        _ if (0..size).contains(&c) => Some(c),
        REFLECT => Some(if c < 0 { -c } else { 2 * (size - 1) - c }),
        REPLICATE => Some(c.clamp(0, size - 1)),
        CIRCULAR => Some(c.rem_euclid(size)),
        _ => None,
    }
}

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &PadParams = call.params();
    let source = |i: u32| {
        let (mut rest, mut at) = (i, p.offset as usize);
        for d in (0..p.rank as usize).rev() {
            let c = i64::from(rest % p.result_shape[d]) - i64::from(p.before[d]);
            at += place(p.mode, c, i64::from(p.shape[d]))? as usize * p.strides[d] as usize;
            rest /= p.result_shape[d];
        }
        Some(at)
    };
    let to = |i: u32| (p.result_offset + i) as usize;
    match call.variant() {
        0 => {
            let (x, mut y) = (call.floats(0), call.floats_mut(1));
            let value = f64::from(f32::from_bits(p.value));
            (0..p.n).for_each(|i| y[to(i)] = source(i).map_or(value, |at| x[at]));
        }
        1 => {
            let (x, mut y) = (call.ints(0), call.ints_mut(1));
            (0..p.n).for_each(|i| y[to(i)] = source(i).map_or(p.value as i32, |at| x[at]));
        }
        _ => {
            let (x, mut y) = (call.words(0), call.words_mut(1));
            (0..p.n).for_each(|i| y[to(i)] = source(i).map_or(p.value, |at| x[at]));
        }
    }
    Ok(())
}

params! {
    /// Twin of `Params` in `shaders/pad_fold.wgsl`.
    pub struct FoldParams {
        n: u32,
        size: u32,
        padded: u32,
        inner: u32,
        before: i32,
        mode: u32,
        offset: u32,
        result_offset: u32,
    }
}

static FOLD: Kernel = Kernel {
    name: "pad.fold",
    source: &[include_str!("../../shaders/pad_fold.wgsl")],
    entry: "fold",
    bindings: &[Binding::Read("g"), Binding::Write("dx")],
    params: ParamsLayout::of::<FoldParams>(),
    variants: Variant::ONLY,
    grid: |p| {
        let p: &FoldParams = p.get();
        let terms = u64::from(p.n) / u64::from(p.size.max(1)) * u64::from(p.padded);
        Grid::elements(p.n).work(8 * (u64::from(p.n) + terms))
    },
    reference: |call| {
        let p: &FoldParams = call.params();
        let (g, mut dx) = (call.floats(0), call.floats_mut(1));
        let first = p.result_offset as usize;
        dx[first..first + p.n as usize].fill(0.0);
        for i in 0..p.n / p.size * p.padded {
            let (outer, o, inner) = (i / p.inner / p.padded, i / p.inner % p.padded, i % p.inner);
            let c = place(p.mode, i64::from(o) - i64::from(p.before), i64::from(p.size)).expect("copied elements");
            let to = (outer * p.size + c as u32) * p.inner + inner;
            dx[first + to as usize] += g[(p.offset + i) as usize];
        }
        Ok(())
    },
    // Half an ulp an addition, and half for the twin's own rounding.
    bound: |p| {
        let p: &FoldParams = p.get();
        let ends = [p.before + 1, p.padded as i32 - p.before - p.size as i32 + 1];
        let terms = match p.mode {
            REPLICATE if p.size > 1 => ends[0].max(ends[1]).min(p.padded as i32),
            REPLICATE => p.padded as i32,
            _ => 3,
        };
        Bound::Magnitude { ulps: 0.5 * f64::from(terms) }
    },
};

/// The most places that a thread of `pad.fold` adds up on either side: below 65,535, where lavapipe ends its loops.
const FOLDED: i64 = 16_384;

fn mode_of(attrs: &Attrs) -> u32 {
    let name = attrs.get_str("mode");
    MODES.iter().position(|mode| *mode == name).expect("one of the modes") as u32
}

/// Pads before and after each dim of a tensor, from PyTorch's list of pairs that starts with the last dim.
fn pairs(pad: &[i64], rank: usize) -> Result<SmallVec<[(i64, i64); 4]>> {
    let refuse = |detail: String| Err(Error::argument("pad", detail));
    if !pad.len().is_multiple_of(2) {
        return refuse(format!("takes pairs of pads, last dim first; {pad:?} has {} numbers", pad.len()));
    }
    if pad.len() > 2 * rank {
        return refuse(format!("{pad:?} pads {} dims, the tensor has {rank}", pad.len() / 2));
    }
    if let Some(wild) = pad.iter().find(|p| p.unsigned_abs() > 1 << 30) {
        return refuse(format!("a pad of {wild} is more than shaders index"));
    }
    let mut list: SmallVec<[(i64, i64); 4]> = smallvec![(0, 0); rank];
    for (i, pair) in pad.chunks_exact(2).enumerate() {
        list[rank - 1 - i] = (pair[0], pair[1]);
    }
    Ok(list)
}

/// The padded shape.
fn padded_shape(mode: u32, shape: &[usize], pad: &[i64], pairs: &[(i64, i64)]) -> Result<Shape> {
    let rank = shape.len();
    let refuse = |detail: String| Err(Error::shape("pad", detail));
    let name = MODES[mode as usize];
    let dims = pad.len() / 2;
    // PyTorch's rule: these are for [.., C, *dims] with or without a batch.
    if mode != CONSTANT && !((1..=3).contains(&dims) && (rank == dims + 1 || rank == dims + 2)) {
        return refuse(format!(
            "mode {name} pads the last 1, 2 or 3 dims of a tensor with 1 or 2 dims before them (channels, batch); \
             {dims} dims of shape {shape:?} do not fit"
        ));
    }
    let may_be_empty = |d: usize| mode == CONSTANT || mode == CIRCULAR || (d == 0 && rank == dims + 2);
    let mut result = Shape::new();
    for (d, (&size, &(before, after))) in shape.iter().zip(pairs).enumerate() {
        let (n, padded) = (size as i64, size as i64 + before + after);
        let fits = match mode {
            CONSTANT => before >= -n && after >= -n && padded >= 0,
            REFLECT => before < n.max(1) && after < n.max(1) && (padded > 0 || n == 0),
            REPLICATE => padded > 0 || n == 0,
            _ => before <= n && after <= n,
        };
        if !fits || (size == 0 && !may_be_empty(d)) {
            let hint = match mode {
                CONSTANT => "more elements are cropped than there are",
                REFLECT => "a reflected pad must be smaller than its dim, and something must be left",
                REPLICATE => "something to replicate must be left",
                _ => "a circular pad must not be larger than its dim",
            };
            return refuse(format!("pads ({before}, {after}) do not fit dim {d} of shape {shape:?}: {hint}"));
        }
        result.push(padded.max(0) as usize);
    }
    checked_numel("pad", &result)?;
    Ok(result)
}

/// Writes `y`, which is contiguous: element `i` of a dim is element `i - before` of x.
fn spread(run: &mut Run<'_>, x: &Tensor, y: &Tensor, before: &[i64], mode: u32, value: u32) -> Result<()> {
    let mut params = PadParams {
        n: y.numel() as u32,
        rank: 0,
        mode,
        value,
        offset: x.offset() as u32,
        result_offset: y.offset() as u32,
        spare: [0; 2],
        result_shape: [1; MAX_RANK],
        shape: [1; MAX_RANK],
        strides: [0; MAX_RANK],
        before: [0; MAX_RANK],
    };
    // Whether the last dim so far stays as it is: then another one behind it may be merged with it.
    let mut plain = false;
    for (d, &first) in before.iter().enumerate() {
        let (size, padded, stride) = (x.shape()[d], y.shape()[d], x.strides()[d]);
        let stays = size == padded && first == 0;
        if stays && size == 1 {
            continue;
        }
        let last = (params.rank as usize).wrapping_sub(1);
        if stays && plain && params.strides[last] as usize == stride * size {
            params.result_shape[last] *= size as u32;
            params.shape[last] *= size as u32;
            params.strides[last] = stride as u32;
            continue;
        }
        let Some(next) = (params.rank < MAX_RANK as u32).then_some(params.rank as usize) else {
            let detail = format!(
                "padding shape {:?} to {:?} needs more than the {MAX_RANK} dims that kernels take",
                x.shape(),
                y.shape()
            );
            return Err(Error::Limit { op: "pad", detail });
        };
        params.result_shape[next] = padded as u32;
        params.shape[next] = size as u32;
        params.strides[next] = stride as u32;
        params.before[next] = first as i32;
        params.rank += 1;
        plain = stays;
    }
    run.dispatch(&FORWARD, y.dtype().storage_variant(), &[x, y], &params);
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, pad, mode) = (call.input(0), call.attrs().get_ints("pad"), mode_of(call.attrs()));
    let pairs = pairs(pad, x.dim())?;
    let shape = padded_shape(mode, x.shape(), pad, &pairs)?;
    let y = call.output(x.dtype(), &shape);
    let before: SmallVec<[i64; 4]> = pairs.iter().map(|p| p.0).collect();
    let value = scalar_bits([call.attrs().get_float("value"), 0.0, 0.0, 0.0], x.dtype())[0];
    spread(call, x, &y, &before, mode, value)?;
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (mode, shape) = (mode_of(v.attrs()), v.input_shape(0));
    let pairs = pairs(v.attrs().get_ints("pad"), shape.len())?;
    if mode == CONSTANT {
        // Back to the input's places; what was cropped gets nothing.
        let dx = v.gradient_output(0);
        let before: SmallVec<[i64; 4]> = pairs.iter().map(|p| -p.0).collect();
        let g = v.gradient();
        spread(v, g, &dx, &before, CONSTANT, 0f32.to_bits())?;
        return Ok(smallvec![Some(dx)]);
    }
    // One dim after the other, long pads of one in steps.
    let mut steps: SmallVec<[(usize, i64, i64); 4]> = SmallVec::new();
    for (d, &(mut before, mut after)) in pairs.iter().enumerate() {
        while before != 0 || after != 0 {
            let (b, a) = if mode == REPLICATE { (before.min(FOLDED), after.min(FOLDED)) } else { (before, after) };
            steps.push((d, b, a));
            (before, after) = (before - b, after - a);
        }
    }
    let mut g = v.gradient().try_contiguous()?;
    let count = steps.len();
    for (i, (d, before, after)) in steps.into_iter().enumerate() {
        let mut to: Shape = g.shape().into();
        to[d] = (to[d] as i64 - before - after) as usize;
        let dx = if i + 1 == count { v.gradient_output(0) } else { v.output(DType::F32, &to) };
        let params = FoldParams {
            n: numel(&to) as u32,
            size: to[d] as u32,
            padded: g.shape()[d] as u32,
            inner: contiguous_strides(&to)[d] as u32,
            before: before as i32,
            mode,
            offset: g.offset() as u32,
            result_offset: dx.offset() as u32,
        };
        v.dispatch(&FOLD, 0, &[&g, &dx], &params);
        g = dx;
    }
    Ok(smallvec![Some(g)])
}

/// The operation `pad`.
pub(crate) static PAD: Operation =
    Operation { name: "pad", kernels: &[&FORWARD, &FOLD], forward, vjp: Some(vjp), cases };

fn attrs(pad: &[i64], mode: PadMode) -> Attrs {
    let (mode, value) = match mode {
        PadMode::Constant(value) => (CONSTANT, value),
        PadMode::Reflect => (REFLECT, 0.0),
        PadMode::Replicate => (REPLICATE, 0.0),
        PadMode::Circular => (CIRCULAR, 0.0),
    };
    Attrs::new().ints("pad", pad).str("mode", MODES[mode as usize]).float("value", value)
}

fn cases() -> Vec<cases::Case> {
    use PadMode::{Circular, Constant, Reflect, Replicate};
    use cases::{Arrangement, Case, EXTREME, Input};
    let case = |name: &str, x: Input, pad: &[i64], mode: PadMode| Case::new(name, vec![x]).attrs(attrs(pad, mode));
    let x = Input::floats;
    let mut list = vec![
        case("last dim", x(&[3, 4]), &[1, 2], Constant(0.5)),
        case("all dims", x(&[2, 3]), &[1, 0, 0, 2], Constant(-3.0)),
        case("first dim only", x(&[2, 3, 4]), &[0, 0, 0, 0, 2, 1], Constant(0.0)),
        case("cropped", x(&[4, 5]), &[-1, 2, 1, -2], Constant(1.5)),
        case("cropped away", x(&[3, 4]), &[-1, -3], Constant(1.5)).no_gradcheck(),
        case("none", x(&[3]), &[], Constant(1.5)),
        case("0-d", x(&[]), &[], Constant(1.5)),
        case("one", x(&[1]), &[1, 1], Constant(2.0)),
        case("empty", x(&[0, 3]), &[0, 0, 1, 1], Constant(7.0)),
        case("empty result", x(&[0, 3]), &[2, 1], Constant(7.0)),
        case("infinite", x(&[3, 4]), &[1, 1], Constant(f64::NEG_INFINITY)).no_gradcheck(),
        case("not a number", x(&[3, 4]), &[1, 1], Constant(f64::NAN)).no_gradcheck(),
        case("transposed", x(&[5, 3]).arranged(Arrangement::Transposed), &[1, 1, 2, 0], Constant(0.0)),
        case("strided", x(&[3, 7]).arranged(Arrangement::Strided), &[1, 1], Constant(0.0)),
        case("expanded", x(&[3, 4]).arranged(Arrangement::Expanded), &[1, 1], Constant(0.0)),
        case("many dims", x(&[2, 1, 2, 1, 2, 1, 2, 1, 3]), &[1, 1, 0, 0, 1, 0], Constant(0.0)),
        case("large", x(&[65, 129]), &[3, 4, 2, 1], Constant(1.0)).no_gradcheck(),
        case("extreme", x(&[17]).fill(EXTREME), &[2, 2], Constant(1.0)).no_gradcheck(),
        case("i32", Input::ints(&[3, 4], -9, 9), &[1, 1], Constant(-2.0)),
        case("u32", Input::ints(&[3, 4], 0, 9).dtype(DType::U32), &[1, 1], Constant(2.0)),
        case("bool", Input::bools(&[3, 4]), &[1, 1], Constant(1.0)),
        case("half a pair", x(&[3, 4]), &[1, 1, 1], Constant(0.0)).fails(),
        case("too many", x(&[3]), &[1, 1, 1, 1], Constant(0.0)).fails(),
        case("nothing left", x(&[3]), &[-2, -2], Constant(0.0)).fails(),
        case("all and more", x(&[3]), &[-4, 5], Constant(0.0)).fails(),
        case("too much", x(&[3]), &[i64::MAX, 0], Constant(0.0)).fails(),
        case("too many dims", x(&[2; 9]), &[1; 18], Constant(0.0)).fails(),
        case("mirror too far", x(&[2, 3]), &[3, 0], Reflect).fails(),
        case("mirror of nothing", x(&[2, 0]), &[0, 0], Reflect).fails(),
        case("nothing to replicate", x(&[2, 0]), &[1, 0], Replicate).fails(),
        case("twice round", x(&[2, 3]), &[4, 0], Circular).fails(),
        case("long ends", x(&[1, 3]), &[20_000, 17_000], Replicate).no_gradcheck(),
        case("long ends of one", x(&[1, 1]), &[16_385, 1], Replicate).no_gradcheck(),
    ];
    for (name, mode) in [("reflect", Reflect), ("replicate", Replicate), ("circular", Circular)] {
        let case = |of: &str, x: Input, pad: &[i64]| case(&format!("{name}, {of}"), x, pad, mode);
        list.extend([
            case("1-d", x(&[2, 5]), &[2, 1]),
            case("1-d with batch", x(&[2, 1, 5]), &[4, 4]),
            case("2-d", x(&[1, 2, 3, 4]), &[1, 2, 2, 1]),
            case("2-d without batch", x(&[2, 3, 4]), &[0, 2, 1, 0]),
            case("3-d", x(&[1, 1, 2, 3, 2]), &[1, 0, 2, 1, 1, 1]),
            case("no pad", x(&[2, 3]), &[0, 0]),
            case("empty batch", x(&[0, 2, 3]), &[1, 1]),
            case("transposed", x(&[3, 4, 5]).arranged(Arrangement::Transposed), &[2, 1, 1, 1]),
            case("strided", x(&[3, 4]).arranged(Arrangement::Strided), &[2, 1]),
            case("expanded", x(&[3, 4]).arranged(Arrangement::Expanded), &[2, 1]),
            case("large", x(&[2, 3, 33, 65]), &[3, 4, 5, 6]).no_gradcheck(),
            case("i32", Input::ints(&[3, 4], -9, 9), &[2, 1]),
            case("rank", x(&[5]), &[1, 1]).fails(),
            case("too many dims before", x(&[1, 1, 2, 5]), &[1, 1]).fails(),
        ]);
        if mode != Circular {
            list.extend([
                case("cropped before", x(&[2, 5]), &[-2, 3]),
                case("cropped after", x(&[2, 5]), &[3, -2]),
                case("cropped", x(&[2, 5]), &[-1, -2]),
                case("cropped beyond", x(&[2, 5]), &[-6, 4]),
                case("nothing left", x(&[2, 5]), &[-3, -2]).fails(),
                case("no channels", x(&[0, 3]), &[1, 1]).fails(),
            ]);
        }
    }
    list
}

methods! {
    /// More elements at the ends of the last dims: PyTorch's `F.pad`. `pad` holds a pair for each dim, elements before and
    /// after, and starts with the last dim; a negative number crops. `mode` says what comes in the new places: a number,
    /// or a [`PadMode`].
    ///
    /// ```
    /// use lumigrad::{PadMode, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3]);
    /// assert_eq!(x.pad([1, 2], 0.0).to_vec::<f32>()?, [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
    /// assert_eq!(x.pad([2, 1], PadMode::Reflect).to_vec::<f32>()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(x.pad([0, 0, 1, 0], 9.0).shape(), [2, 3]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `pad` has no pairs or more of them than there are dims, or crops more than there is. Modes other than a constant
    /// pad the last one, two or three dims behind channels, with or without a batch; a reflected pad must be smaller than
    /// its dim, a circular one not larger.
    pub fn pad / try_pad (&self, pad: impl IntoShape, mode: impl Into<PadMode>) -> Tensor {
        let (mut pad, mode) = (pad.into_sizes(), mode.into());
        let mut x = self.clone();
        if mode == PadMode::Circular && pad.iter().any(|&p| p < 0) {
            // As in PyTorch, what is cropped does not come round.
            let crop: Vec<i64> = pad.iter().map(|&p| p.min(0)).collect();
            x = single(apply(&PAD, &[self], attrs(&crop, PadMode::Constant(0.0))))?;
            pad.iter_mut().for_each(|p| *p = (*p).max(0));
        }
        let mode = match mode {
            PadMode::Constant(value) if self.dtype() == DType::Bool => {
                PadMode::Constant(f64::from(u8::from(value != 0.0)))
            }
            mode => mode,
        };
        single(apply(&PAD, &[&x], attrs(&pad, mode)))
    }
}
