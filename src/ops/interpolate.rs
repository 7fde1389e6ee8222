//! `interpolate`: resampling of the dims behind batch and channels. A result is a weighted sum of elements that lie next to
//! its place in the input; an element's gradient is the sum of its shares, with the same weights.
//!
//! Places and weights along a dim depend on sizes alone: the host works them out as PyTorch does (nearest in f32, all
//! others in f64) and the kernels read them from a table.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html>

use smallvec::smallvec;

use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::shape::checked_numel;
use crate::tensor::{Shape, Tensor};
use crate::{Error, OutputSize, Result};

/// How [`Tensor::interpolate`] finds a value between elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterpolateMode {
    /// The element at or before the place. With sizes that are no multiples it is half an element off: PyTorch's default.
    #[default]
    Nearest,
    /// The element whose middle is nearest.
    NearestExact,
    /// A straight line between neighbours, one dim.
    Linear,
    /// A straight line in each of two dims.
    Bilinear,
    /// A straight line in each of three dims.
    Trilinear,
    /// A cubic through four neighbours, in each of two dims.
    Bicubic,
    /// The mean of what lies below a result: [`Tensor::adaptive_avg_pool2d`].
    Area,
}

impl InterpolateMode {
    const ALL: [InterpolateMode; 7] =
        [Self::Nearest, Self::NearestExact, Self::Linear, Self::Bilinear, Self::Trilinear, Self::Bicubic, Self::Area];

    /// PyTorch's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::NearestExact => "nearest-exact",
            Self::Linear => "linear",
            Self::Bilinear => "bilinear",
            Self::Trilinear => "trilinear",
            Self::Bicubic => "bicubic",
            Self::Area => "area",
        }
    }

    /// The number of dims that it is for, unless that is any.
    const fn dims(self) -> Option<usize> {
        match self {
            Self::Linear => Some(1),
            Self::Bilinear | Self::Bicubic => Some(2),
            Self::Trilinear => Some(3),
            Self::Nearest | Self::NearestExact | Self::Area => None,
        }
    }
}

/// Numbers for the dims that are resampled: one for all, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct PerSpatialDim<T>(Vec<T>);

impl<T> From<T> for PerSpatialDim<T> {
    fn from(all: T) -> Self {
        PerSpatialDim(vec![all])
    }
}

impl<T: Copy, const N: usize> From<[T; N]> for PerSpatialDim<T> {
    fn from(each: [T; N]) -> Self {
        PerSpatialDim(each.to_vec())
    }
}

impl<T: Copy> From<&[T]> for PerSpatialDim<T> {
    fn from(each: &[T]) -> Self {
        PerSpatialDim(each.to_vec())
    }
}

/// The arguments of [`Tensor::interpolate`]: a size or a factor, and the rest with PyTorch's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterpolateOptions {
    size: Option<Vec<usize>>,
    scale_factor: Option<Vec<f64>>,
    mode: InterpolateMode,
    align_corners: Option<bool>,
    recompute_scale_factor: bool,
}

impl InterpolateOptions {
    /// Nearest neighbours, neither size nor factor yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sizes of the result: one for all dims, or one for each.
    pub fn size(self, size: impl Into<PerSpatialDim<usize>>) -> Self {
        Self { size: Some(size.into().0), ..self }
    }

    /// What the sizes are multiplied by, rounded down.
    pub fn scale_factor(self, factor: impl Into<PerSpatialDim<f64>>) -> Self {
        Self { scale_factor: Some(factor.into().0), ..self }
    }

    /// How values between elements are found.
    pub fn mode(self, mode: InterpolateMode) -> Self {
        Self { mode, ..self }
    }

    /// Whether the middles of the outermost elements, and not their outer ends, fall together. Not for nearest and area.
    pub fn align_corners(self, align_corners: bool) -> Self {
        Self { align_corners: Some(align_corners), ..self }
    }

    /// Whether places are worked out with the sizes' ratio, and not with the factor.
    pub fn recompute_scale_factor(self, recompute: bool) -> Self {
        Self { recompute_scale_factor: recompute, ..self }
    }
}

params! {
    /// Twin of `Params` in `shaders/interpolate.wgsl`.
    pub struct ResampleParams {
        n: u32,
        channels: u32,
        offset: u32,
        result_offset: u32,
        planes: [u32; 4],
        steps: [u32; 4],
        size: [u32; 4],
        resized: [u32; 4],
        taps: [u32; 4],
        pairs: [u32; 4],
        spans: [u32; 4],
    }
}

/// A dim that is resampled.
struct Axis {
    size: usize,
    resized: usize,
    /// Elements that make a result.
    taps: usize,
    /// Those and their weights, for each place of the result.
    pairs: Vec<(usize, f64)>,
}

impl Axis {
    /// A dim that stays as it is.
    fn identity(size: usize) -> Axis {
        Axis { size, resized: size, taps: 1, pairs: (0..size).map(|i| (i, 1.0)).collect() }
    }

    /// As in PyTorch's UpSample.h; `factor` is 0 where only sizes were given.
    fn new(mode: InterpolateMode, size: usize, resized: usize, factor: f64, align_corners: bool) -> Axis {
        let ratio = if factor > 0.0 { 1.0 / factor } else { size as f64 / resized as f64 };
        let last = size - 1;
        let pairs: Vec<(usize, f64)> = match mode {
            InterpolateMode::Nearest | InterpolateMode::NearestExact => {
                let exact = mode == InterpolateMode::NearestExact;
                let scale = if factor > 0.0 { ratio as f32 } else { size as f32 / resized as f32 };
                let place = |o: usize| match exact {
                    true => ((o as f32 + 0.5) * scale).floor() as usize,
                    false if resized == size => o,
                    false if resized == 2 * size => o / 2,
                    false => (o as f32 * scale).floor() as usize,
                };
                (0..resized).map(|o| (place(o).min(last), 1.0)).collect()
            }
            _ => {
                let corners = if resized > 1 { last as f64 / (resized - 1) as f64 } else { 0.0 };
                let place = |o: usize| match align_corners {
                    true => corners * o as f64,
                    false => ratio * (o as f64 + 0.5) - 0.5,
                };
                if mode == InterpolateMode::Bicubic {
                    (0..resized).flat_map(|o| cubic(place(o), last)).collect()
                } else if size == resized {
                    (0..resized).flat_map(|o| [(o, 1.0), (o, 0.0)]).collect()
                } else {
                    (0..resized).flat_map(|o| linear(place(o).max(0.0), last)).collect()
                }
            }
        };
        Axis { size, resized, taps: pairs.len() / resized, pairs }
    }

    /// For each element, the first place of the result that it is part of, and the one behind the last.
    fn spans(&self) -> Vec<(usize, usize)> {
        let mut spans = vec![(0, 0); self.size];
        for (i, &(element, _)) in self.pairs.iter().enumerate() {
            let o = i / self.taps;
            let span = &mut spans[element];
            *span = if span.1 == 0 { (o, o + 1) } else { (span.0, o + 1) };
        }
        spans
    }

    /// Places of the result that an element is part of, at most.
    fn reach(&self) -> usize {
        self.spans().iter().map(|(first, end)| end - first).max().unwrap_or(0)
    }
}

fn linear(place: f64, last: usize) -> [(usize, f64); 2] {
    let first = (place as usize).min(last);
    let second = (place - first as f64).clamp(0.0, 1.0);
    [(first, 1.0 - second), ((first + 1).min(last), second)]
}

/// Keys' cubic convolution with a = -3/4; elements beyond the ends are the last ones.
fn cubic(place: f64, last: usize) -> [(usize, f64); 4] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    // PyTorch takes a place beyond the last element as one at most a step behind it.
    let floor = place.floor().min(last as f64);
    let t = (place - floor).clamp(0.0, 1.0);
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    std::array::from_fn(|k| ((floor as i64 + k as i64 - 1).clamp(0, last as i64) as usize, weights[k]))
}

macro_rules! resample_kernel {
    ($entry:literal, $terms:expr, $twin:expr, $magnitude:expr) => {
        Kernel {
            name: concat!("interpolate.", $entry),
            source: &[include_str!("../../shaders/interpolate.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), Binding::Read("table"), Binding::Write("y")],
            params: ParamsLayout::of::<ResampleParams>(),
            variants: Variant::ONLY,
            grid: |p| {
                let p: &ResampleParams = p.get();
                Grid::elements(p.n).work(u64::from(p.n) * 8 * (u64::from($terms(p)) + 2))
            },
            reference: $twin,
            bound: |p| {
                // Half an ulp for each of a term's three products and for its addition (weights that are sums have two
                // more), and half for the twin's own rounding.
                let ulps = 0.5 * f64::from($terms(p.get::<ResampleParams>())) + 3.0;
                Bound::Scaled { ulps, magnitude: $magnitude }
            },
        }
    };
}

static FORWARD: Kernel = resample_kernel!("forward", terms, |c| twin(c, |v| v), |c| twin(c, f64::abs));
static BACKWARD: Kernel =
    resample_kernel!("backward", |p: &ResampleParams| p.planes[2], |c| backward_twin(c, |v| v), |c| backward_twin(
        c,
        f64::abs
    ));

fn terms(p: &ResampleParams) -> u32 {
    p.taps[0] * p.taps[1] * p.taps[2]
}

impl ResampleParams {
    /// What makes the result at a place of the three dims: elements and weights.
    fn parts(&self, table: &[u32], o: [u32; 3]) -> Vec<([u32; 3], f64)> {
        let along = |d: usize| {
            let first = (self.pairs[d] + 2 * self.taps[d] * o[d]) as usize;
            let pair = move |t: usize| (table[first + 2 * t], f64::from(f32::from_bits(table[first + 2 * t + 1])));
            (0..self.taps[d] as usize).map(pair).collect::<Vec<_>>()
        };
        let (depth, rows, columns) = (along(0), along(1), along(2));
        let mut parts = Vec::new();
        for &(a, by_depth) in &depth {
            for &(b, by_row) in &rows {
                parts.extend(columns.iter().map(|&(c, by_column)| ([a, b, c], by_depth * by_row * by_column)));
            }
        }
        parts
    }

    /// All places of the result: number, plane and the three dims.
    fn places(&self, planes: u32) -> impl Iterator<Item = (usize, u32, [u32; 3])> {
        let [d, h, w, _] = self.resized;
        (0..planes * d * h * w).map(move |i| (i as usize, i / w / h / d, [i / w / h % d, i / w % h, i % w]))
    }
}

fn twin(call: &HostCall<'_>, of: fn(f64) -> f64) -> Result<()> {
    let p: &ResampleParams = call.params();
    let (x, table, mut y) = (call.floats(0), call.words(1), call.floats_mut(2));
    let [d, h, w, _] = p.resized;
    for (i, plane, o) in p.places(p.n / (d * h * w)) {
        let base = p.offset + plane / p.channels * p.planes[0] + plane % p.channels * p.planes[1];
        let term = |([a, b, c], weight): ([u32; 3], f64)| {
            of(weight) * of(x[(base + a * p.steps[0] + b * p.steps[1] + c * p.steps[2]) as usize])
        };
        y[i] = p.parts(&table, o).into_iter().map(term).sum();
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, of: fn(f64) -> f64) -> Result<()> {
    let p: &ResampleParams = call.params();
    let (g, table, mut dx) = (call.floats(0), call.words(1), call.floats_mut(2));
    let (first, [d, h, w, _]) = (p.result_offset as usize, p.size);
    dx[first..first + p.n as usize].fill(0.0);
    for (i, plane, o) in p.places(p.n / (d * h * w)) {
        for ([a, b, c], weight) in p.parts(&table, o) {
            let to = ((plane * d + a) * h + b) * w + c;
            dx[first + to as usize] += of(weight) * of(g[p.offset as usize + i]);
        }
    }
    Ok(())
}

/// Results that an element's gradient comes from, at most, for all dims at once. More are taken one dim after the other.
const TERMS: usize = 4000;
/// Steps of a thread's loops, at most: lavapipe ends them after 65,535.
const STEPS: usize = 60_000;

/// The table of the axes on the device, and params that say where things are in it.
fn table(axes: &[Axis; 3], run: &Run<'_>) -> Result<(Tensor, ResampleParams)> {
    let mut words: Vec<u32> = Vec::new();
    let of = |f: fn(&Axis) -> usize| [f(&axes[0]) as u32, f(&axes[1]) as u32, f(&axes[2]) as u32, 0];
    let (mut pairs, mut spans) = ([0; 4], [0; 4]);
    for (d, axis) in axes.iter().enumerate() {
        pairs[d] = words.len() as u32;
        words.extend(axis.pairs.iter().flat_map(|&(i, weight)| [i as u32, (weight as f32).to_bits()]));
        spans[d] = words.len() as u32;
        words.extend(axis.spans().iter().flat_map(|&(first, end)| [first as u32, end as u32]));
    }
    let params = ResampleParams {
        n: 0,
        channels: 1,
        offset: 0,
        result_offset: 0,
        planes: [0; 4],
        steps: [0; 4],
        size: of(|a| a.size),
        resized: of(|a| a.resized),
        taps: of(|a| a.taps),
        pairs,
        spans,
    };
    Ok((Tensor::try_from_slice_on(&words, &[words.len()], run.device())?, params))
}

/// The three axes of a resampling; fewer dims have axes of one element before theirs.
fn axes(op: &'static str, shape: &[usize], attrs: &Attrs) -> Result<[Axis; 3]> {
    let mode = attrs.get_str("mode");
    let mode = InterpolateMode::ALL.into_iter().find(|m| m.name() == mode).expect("one of the modes");
    let (dims, resized) = (shape.len().saturating_sub(2), attrs.get_sizes("size"));
    if !(1..=3).contains(&dims) || mode.dims().is_some_and(|d| d != dims) {
        let wanted = mode.dims().map_or("1, 2 or 3".to_string(), |d| d.to_string());
        let detail = format!("mode {} takes [N, C, and {wanted} dims more], not {shape:?}", mode.name());
        return Err(Error::shape(op, detail));
    }
    if resized.len() != dims {
        let detail = format!("sizes {resized:?} for the {dims} dims behind [N, C] of shape {shape:?}");
        return Err(Error::argument(op, detail));
    }
    if resized.contains(&0) || shape[1..].contains(&0) {
        let detail = format!("only N may be 0: shape {shape:?} to sizes {resized:?}");
        return Err(Error::shape(op, detail));
    }
    let mut axes = [Axis::identity(1), Axis::identity(1), Axis::identity(1)];
    for d in 0..dims {
        let factor = attrs.get_float(["factor0", "factor1", "factor2"][d]);
        axes[3 - dims + d] = Axis::new(mode, shape[2 + d], resized[d], factor, attrs.get_bool("align_corners"));
    }
    Ok(axes)
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    if !x.dtype().is_float() {
        return Err(Error::dtype(call.op(), format!("takes floats, not {}; convert with `.to_dtype(..)`", x.dtype())));
    }
    let axes = axes(call.op(), x.shape(), call.attrs())?;
    let mut shape: Shape = x.shape().into();
    shape[2..].copy_from_slice(&call.attrs().get_sizes("size"));
    checked_numel(call.op(), &shape)?;
    // Each result of a dim costs the loop over it, those of the dims in it, and one over the weights for each.
    if call.is_recording() && axes.iter().any(|axis| axis.reach() * 3 * (1 + axis.taps) > STEPS) {
        let detail = format!(
            "{:?} to {shape:?}: an element is part of too many results along a dim for its gradient",
            x.shape()
        );
        return Err(Error::Limit { op: call.op(), detail });
    }
    let y = call.output(DType::F32, &shape);
    let (table, mut params) = table(&axes, call)?;
    let strides = x.strides();
    params.n = y.numel() as u32;
    params.offset = x.offset() as u32;
    params.channels = shape[1] as u32;
    params.planes[..2].copy_from_slice(&[strides[0] as u32, strides[1] as u32]);
    let dims = shape.len() - 2;
    for d in 0..dims {
        params.steps[3 - dims + d] = strides[2 + d] as u32;
    }
    call.dispatch(&FORWARD, 0, &[x, &table, &y], &params);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let shape = v.input_shape(0);
    let all = axes("interpolate", shape, v.attrs())?;
    let g = v.gradient().detach().try_contiguous()?;
    let dx = v.gradient_output(0);
    if all.iter().map(Axis::reach).product::<usize>() <= TERMS {
        back(v, &all, &g, &dx)?;
        return Ok(smallvec![Some(dx)]);
    }
    // One dim after the other, the last first.
    let [depth, rows, columns] = all;
    let planes = shape[0] * shape[1];
    let narrow = v.output(DType::F32, &[planes, depth.resized, rows.resized, columns.size]);
    let low = v.output(DType::F32, &[planes, depth.resized, rows.size, columns.size]);
    let width = columns.size;
    back(v, &[Axis::identity(depth.resized), Axis::identity(rows.resized), columns], &g, &narrow)?;
    let height = rows.size;
    back(v, &[Axis::identity(depth.resized), rows, Axis::identity(width)], &narrow, &low)?;
    back(v, &[depth, Axis::identity(height), Axis::identity(width)], &low, &dx)?;
    Ok(smallvec![Some(dx)])
}

/// The gradient of resampling by these axes; both tensors are contiguous.
fn back(run: &mut Run<'_>, axes: &[Axis; 3], g: &Tensor, dx: &Tensor) -> Result<()> {
    let (table, mut params) = table(axes, run)?;
    params.n = dx.numel() as u32;
    params.offset = g.offset() as u32;
    params.result_offset = dx.offset() as u32;
    params.planes[2] = axes.iter().map(Axis::reach).product::<usize>() as u32;
    run.dispatch(&BACKWARD, 0, &[g, &table, dx], &params);
    Ok(())
}

/// The operation `interpolate`.
pub(crate) static INTERPOLATE: Operation =
    Operation { name: "interpolate", kernels: &[&FORWARD, &BACKWARD], forward, vjp: Some(vjp), cases };

fn attrs(mode: InterpolateMode, size: &[usize], factors: &[f64], align_corners: bool) -> Attrs {
    let factor = |d: usize| factors.get(d).copied().unwrap_or(0.0);
    let attrs = Attrs::new().str("mode", mode.name()).sizes("size", size).bool("align_corners", align_corners);
    attrs.float("factor0", factor(0)).float("factor1", factor(1)).float("factor2", factor(2))
}

fn cases() -> Vec<cases::Case> {
    use InterpolateMode::{Bicubic, Bilinear, Linear, Nearest, NearestExact, Trilinear};
    use cases::{Arrangement, Case, EXTREME, Input};
    let x = Input::floats;
    let case = |name: &str, x: Input, size: &[usize], mode: InterpolateMode| {
        Case::new(name, vec![x]).attrs(attrs(mode, size, &[], false))
    };
    let aligned = |name: &str, x: Input, size: &[usize], mode: InterpolateMode| {
        Case::new(name, vec![x]).attrs(attrs(mode, size, &[], true))
    };
    let by = |name: &str, x: Input, size: &[usize], factors: &[f64], mode: InterpolateMode| {
        Case::new(name, vec![x]).attrs(attrs(mode, size, factors, false))
    };
    vec![
        case("twice", x(&[2, 3, 4, 5]), &[8, 10], Nearest),
        case("odd sizes", x(&[1, 2, 5, 7]), &[3, 11], Nearest),
        case("1-d", x(&[2, 1, 5]), &[8], Nearest),
        case("3-d", x(&[1, 2, 2, 3, 4]), &[3, 2, 7], Nearest),
        by("by factors", x(&[1, 2, 5, 7]), &[3, 16], &[0.6, 2.3], Nearest),
        case("exact", x(&[1, 2, 5, 7]), &[3, 11], NearestExact),
        case("linear", x(&[2, 2, 5]), &[8], Linear),
        case("linear to fewer", x(&[2, 2, 9]), &[4], Linear),
        aligned("linear, aligned", x(&[2, 2, 5]), &[8], Linear),
        aligned("linear to one, aligned", x(&[2, 2, 5]), &[1], Linear),
        case("bilinear", x(&[1, 2, 4, 5]), &[8, 10], Bilinear),
        case("bilinear to odd sizes", x(&[1, 2, 5, 7]), &[3, 11], Bilinear),
        aligned("bilinear, aligned", x(&[1, 2, 5, 7]), &[3, 11], Bilinear),
        by("bilinear by factors", x(&[1, 2, 5, 7]), &[3, 16], &[0.6, 2.3], Bilinear),
        case("bilinear, one dim as it was", x(&[1, 2, 5, 7]), &[5, 11], Bilinear),
        case("trilinear", x(&[1, 2, 2, 3, 4]), &[3, 2, 7], Trilinear),
        case("bicubic", x(&[1, 2, 5, 7]), &[3, 11], Bicubic),
        aligned("bicubic, aligned", x(&[1, 1, 3, 4]), &[7, 5], Bicubic),
        case("from one", x(&[1, 2, 1, 1]), &[3, 4], Bilinear),
        case("from one to many", x(&[1, 1, 1, 2]), &[70, 80], Bilinear).no_gradcheck(),
        case("one to very many", x(&[1, 1, 1]), &[9_000], Nearest).no_gradcheck(),
        case("too many for a gradient", x(&[1, 1, 1]), &[11_000], Nearest).fails(),
        case("one", x(&[1, 1, 1]), &[1], Nearest),
        case("no batch", x(&[0, 2, 3, 4]), &[5, 5], Bilinear),
        case("transposed", x(&[2, 3, 4, 5]).arranged(Arrangement::Transposed), &[7, 6], Bilinear),
        case("strided", x(&[2, 2, 5]).arranged(Arrangement::Strided), &[8], Linear),
        case("expanded", x(&[2, 2, 5]).arranged(Arrangement::Expanded), &[8], Nearest),
        case("extreme", x(&[1, 1, 17]).fill(EXTREME), &[40], Nearest).no_gradcheck(),
        case("large", x(&[2, 3, 33, 65]), &[70, 61], Bilinear).no_gradcheck(),
        case("dims for bilinear", x(&[2, 2, 5]), &[8], Bilinear).fails(),
        case("no dims", x(&[2, 2]), &[], Nearest).fails(),
        case("no result", x(&[2, 2, 5]), &[0], Nearest).fails(),
        case("no channels", x(&[2, 0, 5]), &[5], Nearest).fails(),
        case("too many sizes", x(&[2, 2, 5]), &[5, 5], Nearest).fails(),
        case("integers", Input::ints(&[2, 2, 5], 0, 9), &[5], Nearest).fails(),
    ]
}

/// One number for all of `dims`, or one for each.
fn spread<T: Copy + std::fmt::Debug>(name: &str, values: &[T], dims: usize) -> Result<Vec<T>> {
    match values {
        [one] => Ok(vec![*one; dims]),
        _ if values.len() == dims => Ok(values.to_vec()),
        _ => Err(Error::argument("interpolate", format!("{name} {values:?} for {dims} dims behind [N, C]"))),
    }
}

methods! {
    /// Resampling of the dims behind `[N, C]`, up to three, to a size or by a factor: PyTorch's `F.interpolate`.
    ///
    /// ```
    /// use lumigrad::{InterpolateMode, InterpolateOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 3.0], &[1, 1, 2]);
    /// let twice = InterpolateOptions::new().scale_factor(2.0);
    /// assert_eq!(x.interpolate(&twice).to_vec::<f32>()?, [1.0, 1.0, 3.0, 3.0]);
    /// let line = twice.mode(InterpolateMode::Linear);
    /// assert_eq!(x.interpolate(&line).to_vec::<f32>()?, [1.0, 1.5, 2.5, 3.0]);
    /// let to_size = InterpolateOptions::new().size(3).mode(InterpolateMode::Linear).align_corners(true);
    /// assert_eq!(x.interpolate(&to_size).to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there is neither size nor factor, or both; when the mode does not fit the number of dims, or takes no
    /// `align_corners`; when the result would have no elements; when the tensor holds no floats.
    pub fn interpolate / try_interpolate (&self, options: &InterpolateOptions) -> Tensor {
        let refuse = |detail: &str| Err(Error::argument("interpolate", detail));
        let (mode, dims) = (options.mode, self.dim().saturating_sub(2));
        let plain = matches!(mode, InterpolateMode::Nearest | InterpolateMode::NearestExact | InterpolateMode::Area);
        if plain && options.align_corners.is_some() {
            return refuse("align_corners is for linear, bilinear, trilinear and bicubic");
        }
        let (size, mut factors) = match (&options.size, &options.scale_factor) {
            (Some(_), Some(_)) => return refuse("takes a size or a scale_factor, not both"),
            (None, None) => return refuse("needs a size or a scale_factor"),
            (Some(_), None) if options.recompute_scale_factor => {
                return refuse("recompute_scale_factor means nothing with a size");
            }
            (Some(size), None) => (spread("size", size, dims)?, Vec::new()),
            (None, Some(factors)) => {
                let factors = spread("scale_factor", factors, dims)?;
                if factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
                    return Err(Error::argument("interpolate", format!("factors {factors:?} must be above 0")));
                }
                let size = self.shape().iter().skip(2).zip(&factors).map(|(&s, f)| (s as f64 * f) as usize).collect();
                (size, factors)
            }
        };
        if options.recompute_scale_factor {
            factors.clear();
        }
        if mode != InterpolateMode::Area {
            let attrs = attrs(mode, &size, &factors, options.align_corners.unwrap_or(false));
            return single(apply(&INTERPOLATE, &[self], attrs));
        }
        match size[..] {
            _ if size.contains(&0) => refuse("the result would have no elements"),
            [size] => self.try_adaptive_avg_pool1d(OutputSize([Some(size)])),
            [rows, columns] => self.try_adaptive_avg_pool2d([rows, columns]),
            _ => refuse("mode area takes [N, C, L] or [N, C, H, W]"),
        }
    }
}
