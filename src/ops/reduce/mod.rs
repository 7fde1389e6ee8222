//! Reductions over any dims: the machinery that the pages here share.

pub(crate) mod cumprod;
pub(crate) mod cumsum;
mod cumulative;
pub(crate) mod extrema;
pub(crate) mod extrema_dim;
pub(crate) mod logsumexp;
pub(crate) mod mean;
pub(crate) mod normalize;
pub(crate) mod prod;
pub(crate) mod sum;
pub(crate) mod var;
pub(crate) mod vector_norm;

use std::ops::Range;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::tuner;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, Params, Variant, WORKGROUP};
use crate::ops::Run;
use crate::ops::tune::with_fastest;
use crate::tensor::shape::{Walk, numel, strided_offset};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/reduce.wgsl`.
    pub struct ReduceParams {
        n: u32,
        r: u32,
        splits: u32,
        part: u32,
        kept_rank: u32,
        rank: u32,
        offset: u32,
        result_offset: u32,
        scale: f32,
        merging: u32,
        inner: u32,
        padding: u32,
        shape: [u32; 8],
        strides: [u32; 8],
    }
}

impl ReduceParams {
    /// Params that reduce `dims` (sorted) of `x` into `y`, in one part.
    pub fn new(op: &'static str, x: &Tensor, dims: &[usize], y: &Tensor) -> Result<Self> {
        let kept: SmallVec<[usize; 4]> = (0..x.dim()).filter(|d| !dims.contains(d)).collect();
        let order = kept.iter().chain(dims);
        let (shape, strides): (Shape, Shape) = order.map(|&d| (x.shape()[d], x.strides()[d])).unzip();
        let (walk, kept_rank) = Walk::new(op, &shape, [&strides], kept.len())?;
        let (n, r) = (numel(&shape[..kept.len()]), numel(&shape[kept.len()..]));
        Ok(ReduceParams {
            n: n as u32,
            r: r as u32,
            splits: 1,
            part: r as u32,
            kept_rank,
            rank: walk.rank,
            offset: x.offset() as u32,
            result_offset: y.offset() as u32,
            scale: 1.0,
            merging: 0,
            inner: 1,
            padding: 0,
            shape: walk.shape,
            strides: walk.strides[0],
        })
    }

    /// Cuts outputs into so many parts, or more, that so many threads each reduce; into whole vectors of four where elements
    /// lie so.
    fn cut(&mut self, parts: u32, threads: u32) {
        // An element takes an iteration of each of two walks, and in it one for every dim: the last one ends their loop.
        let dims = self.rank - self.kept_rank;
        let most = (LOOPS / (2 * (dims + 1))).min(STRETCH);
        let part = self.r.div_ceil(parts).clamp(1, most * threads);
        self.part = if self.is_in_quads() { part.next_multiple_of(4) } else { part };
        self.splits = self.r.div_ceil(self.part).max(1);
    }

    /// Whether the elements of every output lie in whole vectors of four.
    pub fn is_in_quads(&self) -> bool {
        let last = (self.rank as usize).wrapping_sub(1);
        self.has_lines() && are_quads(&[self.shape[last], self.offset]) && are_quads(&self.strides[..last])
    }

    /// Whether neighbouring elements of an output are neighbours in memory.
    fn has_lines(&self) -> bool {
        self.rank > self.kept_rank && self.strides[self.rank as usize - 1] == 1
    }

    /// Whether the elements of four neighbouring outputs lie in whole vectors.
    pub fn has_quads_of_outputs(&self) -> bool {
        let (kept, rank) = (self.kept_rank as usize, self.rank as usize);
        kept > 0
            && self.strides[kept - 1] == 1
            && are_quads(&[self.shape[kept - 1], self.offset])
            && are_quads(&self.strides[..kept - 1])
            && are_quads(&self.strides[kept..rank])
    }

    /// What a measured choice goes by: the computation, the sizes, and how the elements of an output lie.
    pub fn key(&self, kernel: &str, dtype: DType) -> tuner::Key {
        let last = (self.rank as usize).wrapping_sub(1);
        let step = self.strides.get(last).copied().unwrap_or(0);
        let dims = self.rank | self.kept_rank << 8;
        let whole = u32::from(self.is_in_quads()) + 2 * u32::from(self.has_quads_of_outputs());
        let size = |n: u32| tuner::class(n as usize);
        [tuner::number(kernel), size(self.n), size(self.r), dims, size(step), size(self.inner), whole, dtype as u32]
    }

    /// Where the elements of an output start: twin of `output_base`.
    pub fn output_base(&self, output: u32) -> usize {
        let kept = self.kept_rank as usize;
        self.offset as usize
            + if kept == 0 { 0 } else { strided_offset(output, self.kept_rank, &self.shape, &self.strides) }
    }

    /// Where element `j` of an output lies: twin of `element_offset`.
    pub fn element_offset(&self, j: u32) -> usize {
        let kept = self.kept_rank as usize;
        let rank = self.rank - self.kept_rank;
        if rank == 0 { 0 } else { strided_offset(j, rank, &self.shape[kept..], &self.strides[kept..]) }
    }
}

/// Whether sizes or places are whole vectors of four.
pub(crate) fn are_quads(numbers: &[u32]) -> bool {
    numbers.iter().all(|n| n.is_multiple_of(4))
}

/// The kernels of a reduction.
pub(crate) struct Kernels {
    pub by_thread: Kernel,
    pub by_group: Kernel,
    /// The same for elements in whole vectors of four.
    pub rows_by_thread: Kernel,
    pub rows_by_group: Kernel,
    /// For vectors of elements of four outputs.
    pub by_columns: Kernel,
}

impl Kernels {
    pub const fn all(&'static self) -> [&'static Kernel; 5] {
        [&self.by_thread, &self.by_group, &self.rows_by_thread, &self.rows_by_group, &self.by_columns]
    }

    /// The kernel for `params`, which are split as it wants them, and how the results of parts lie.
    pub fn choose(&'static self, run: &Run<'_>, params: &mut ReduceParams) -> (&'static Kernel, Parts) {
        if by_columns(run, params) {
            split_among_threads(run, params.n / 4, params);
            return (&self.by_columns, Parts::OfAll);
        }
        let alone = plan(run, params);
        (self.of_outputs(alone, params), Parts::OfOutput)
    }

    /// The kernel in which a thread each takes the outputs or their parts, or a workgroup.
    pub fn of_outputs(&'static self, alone: bool, params: &ReduceParams) -> &'static Kernel {
        match (alone, params.is_in_quads()) {
            (true, false) => &self.by_thread,
            (false, false) => &self.by_group,
            (true, true) => &self.rows_by_thread,
            (false, true) => &self.rows_by_group,
        }
    }
}

/// The family of kernels that reduce, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("reduce", &["by_thread", "by_group", "by_columns"]);

/// The members that softmax and normalisations have too.
pub(crate) const BY_ROWS: (&str, &[&str]) = (FAMILY.0, &["by_thread", "by_group"]);

/// Outputs from which a thread each keeps a device busy: on a software driver a few vectors for every core, on a GPU
/// some warps for every multiprocessor.
const BUSY: (u32, u32) = (64, 16_384);

/// Elements up to which a thread reduces an output alone although there are few outputs.
const SHORT: u32 = 64;

/// Elements that a thread reduces at most before an output is split into parts, which are reduced in their turn.
const STRETCH: u32 = 4_096;

/// Iterations of all loops of a thread together. lavapipe ends them after 65,535, without a word.
const LOOPS: u32 = 65_000;

/// Threads that keep a device busy, and elements of their parts at least, so that the second dispatch pays that parts cost:
/// on a software driver, and on a GPU.
const THREADS: ((u32, u32), (u32, u32)) = ((128, 1_024), (4_096, 64));

/// Elements of an output that a workgroup should have before splitting it pays.
const LONG: u32 = 16_384;

/// Parts over which a long output is spread if nothing else keeps the device busy.
const SPREAD: u32 = 256;

/// Whether a thread or a workgroup should reduce each output.
pub(crate) fn by_thread(run: &Run<'_>, params: &ReduceParams) -> bool {
    match run.device().forced_choice(FAMILY.0) {
        Some("by_thread") => true,
        Some("by_group") => false,
        _ => suits_a_thread(run.is_software(), params),
    }
}

/// [`by_thread`] where nobody says. Neighbouring threads of a GPU should read neighbouring elements: where those of an output
/// are neighbours, a workgroup takes them.
fn suits_a_thread(is_software: bool, params: &ReduceParams) -> bool {
    params.r <= SHORT
        || match is_software {
            true => params.n >= BUSY.0,
            false => params.n >= BUSY.1 && !params.has_lines(),
        }
}

/// Splits long outputs into parts; gives whether a thread each reduces them, and not a workgroup, whose barriers are dear on
/// a processor.
pub(crate) fn plan(run: &Run<'_>, params: &mut ReduceParams) -> bool {
    let alone = match run.device().forced_choice(FAMILY.0) {
        Some("by_group") => false,
        _ => run.is_software() || by_thread(run, params),
    };
    if alone {
        split_among_threads(run, params.n, params);
    } else {
        split(params, false);
    }
    alone
}

/// Splits long outputs for a thread or a workgroup each.
fn split(params: &mut ReduceParams, alone: bool) {
    let spread = if alone || params.n >= SPREAD { 1 } else { (params.r / LONG).clamp(1, SPREAD) };
    params.cut(spread, if alone { 1 } else { WORKGROUP });
}

/// Splits long outputs so that threads have enough to do, of which there are so many for a part of all.
fn split_among_threads(run: &Run<'_>, threads: u32, params: &mut ReduceParams) {
    let (busy, least) = if run.is_software() { THREADS.0 } else { THREADS.1 };
    let spread = busy.div_ceil(threads.max(1)).min(params.r / least).max(1);
    params.cut(spread, 1);
}

/// Whether a thread should reduce four outputs side by side.
fn by_columns(run: &Run<'_>, params: &ReduceParams) -> bool {
    params.has_quads_of_outputs()
        && match run.device().forced_choice(FAMILY.0) {
            Some(choice) => choice == "by_columns",
            None => run.is_software() || !by_thread(run, params),
        }
}

/// Reduces `dims` of `x` into the contiguous `y`; the result is multiplied by `scale` (1 for integers).
pub(crate) fn reduce(
    run: &mut Run<'_>,
    kernels: &'static Kernels,
    x: &Tensor,
    dims: &[usize],
    y: &Tensor,
    scale: f32,
) -> Result<()> {
    let name = kernels.by_group.name;
    let params = ReduceParams::new(name, x, dims, y)?;
    let key = || params.key(name, x.dtype());
    with_fastest(run, FAMILY, key, y, |run, y| reduce_as_chosen(run, kernels, params, x, y, scale))
}

/// [`reduce`] by `params`, which tell of all but where `y` lies.
fn reduce_as_chosen(
    run: &mut Run<'_>,
    kernels: &'static Kernels,
    mut params: ReduceParams,
    x: &Tensor,
    y: &Tensor,
    scale: f32,
) -> Result<()> {
    params.result_offset = y.offset() as u32;
    let variant = x.dtype().storage_variant();
    let (kernel, lie) = kernels.choose(run, &mut params);
    if params.splits == 1 {
        params.scale = scale;
        run.dispatch(kernel, variant, &[x, y], &params);
        return Ok(());
    }
    params.result_offset = 0;
    let (parts, dim) = lie.memory(run, &params, x.dtype());
    run.dispatch(kernel, variant, &[x, &parts], &params);
    let params = ReduceParams::new(kernels.by_group.name, &parts, &[dim], y)?;
    reduce_as_chosen(run, kernels, params, &parts, y, scale)
}

pub(crate) fn grid_by_thread(params: &Params<'_>) -> Grid {
    let p: &ReduceParams = params.get();
    Grid::elements(p.n * p.splits).work(u64::from(p.n) * u64::from(p.r) * 4)
}

pub(crate) fn grid_by_group(params: &Params<'_>) -> Grid {
    let p: &ReduceParams = params.get();
    Grid::groups(u64::from(p.n * p.splits)).work(u64::from(p.n) * u64::from(p.r.max(WORKGROUP)) * 4)
}

pub(crate) fn grid_by_columns(params: &Params<'_>) -> Grid {
    let p: &ReduceParams = params.get();
    Grid::elements(p.n / 4 * p.splits).work(u64::from(p.n) * u64::from(p.r) * 2)
}

/// Sums: as for matrix products, in the square root of the number of terms.
pub(crate) fn sum_bound(params: &Params<'_>) -> Bound {
    Bound::Magnitude { ulps: 2.0 + 2.0 * f64::from(params.get::<ReduceParams>().part).sqrt() }
}

/// How two partial results become one.
pub(crate) type Combine<T> = fn(T, T) -> T;

/// How the results of parts lie: those of an output side by side, or those of all outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    OfOutput,
    OfAll,
}

impl Parts {
    /// Memory for them, and the dim along which those of an output lie.
    pub fn memory(self, run: &mut Run<'_>, params: &ReduceParams, dtype: DType) -> (Tensor, usize) {
        let (n, splits) = (params.n as usize, params.splits as usize);
        match self {
            Parts::OfOutput => (run.output(dtype, &[n, splits]), 1),
            Parts::OfAll => (run.output(dtype, &[splits, n]), 0),
        }
    }

    /// All of them, in the order in which they lie.
    pub fn all(self, p: &ReduceParams) -> impl Iterator<Item = Part> {
        let (n, splits, size, r) = (p.n, p.splits, p.part, p.r);
        (0..n * splits).map(move |number| {
            let (output, part) = match self {
                Parts::OfOutput => (number / splits, number % splits),
                Parts::OfAll => (number % n, number / n),
            };
            Part { number, output, elements: part * size..(part * size + size).min(r) }
        })
    }
}

/// An output, or a part of it, and the numbers of the elements that it is made of.
pub(crate) struct Part {
    pub number: u32,
    pub output: u32,
    pub elements: Range<u32>,
}

impl Part {
    /// Where its result lies.
    pub fn at(&self, p: &ReduceParams) -> usize {
        (p.result_offset + self.number) as usize
    }

    /// Where its elements lie.
    pub fn places(&self, p: &ReduceParams) -> impl Iterator<Item = usize> + Clone {
        let base = p.output_base(self.output);
        self.elements.clone().map(move |j| base + p.element_offset(j))
    }
}

/// The twin of all kernels: identity, combine, finish, on floats and on integers in 64 bits.
pub(crate) fn twin(
    call: &HostCall<'_>,
    parts: Parts,
    floats: (f64, Combine<f64>),
    ints: (fn(DType) -> i64, Combine<i64>),
) -> Result<()> {
    let p: &ReduceParams = call.params();
    match call.variant() {
        0 => return float_twin(call, parts, floats.0, floats.1),
        1 => {
            let (x, mut y) = (call.ints(0), call.ints_mut(1));
            for part in parts.all(p) {
                y[part.at(p)] = part.places(p).fold(ints.0(DType::I32), |acc, i| ints.1(acc, i64::from(x[i]))) as i32;
            }
        }
        _ => {
            let (x, mut y) = (call.words(0), call.words_mut(1));
            for part in parts.all(p) {
                y[part.at(p)] = part.places(p).fold(ints.0(DType::U32), |acc, i| ints.1(acc, i64::from(x[i]))) as u32;
            }
        }
    }
    Ok(())
}

/// [`twin`] of floats.
pub(crate) fn float_twin(call: &HostCall<'_>, parts: Parts, identity: f64, combine: Combine<f64>) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for part in parts.all(p) {
        y[part.at(p)] = part.places(p).fold(identity, |acc, i| combine(acc, x[i])) * f64::from(p.scale);
    }
    Ok(())
}

/// Texts of kernels: the wrapper, its walks over single elements, and those over vectors.
pub(crate) type Texts = [&'static str; 3];

/// For reductions in one walk.
pub(crate) const ONCE: Texts = [
    include_str!("../../../shaders/reduce/reduce.wgsl"),
    include_str!("../../../shaders/reduce/reduce_each.wgsl"),
    include_str!("../../../shaders/reduce/reduce_quads.wgsl"),
];

/// For those that need the largest element before they add.
pub(crate) const TWICE: Texts = [
    include_str!("../../../shaders/reduce/reduce_twice.wgsl"),
    include_str!("../../../shaders/reduce/reduce_twice_each.wgsl"),
    include_str!("../../../shaders/reduce/reduce_twice_quads.wgsl"),
];

/// Declares the [`Kernels`] of a reduction: its name, the texts of the walks and of its own maths, what it binds, variants,
/// the twin and the bound, which take [`Parts`] too.
macro_rules! reduce_kernels {
    ($name:literal, $texts:expr, $maths:expr, $bindings:expr, $variants:expr, $twin:expr, $bound:expr) => {{
        use $crate::engine::{Kernel, ParamsLayout};
        use $crate::ops::reduce::{Kernels, Parts, ReduceParams, grid_by_columns, grid_by_group, grid_by_thread};
        const EACH: Kernel = Kernel {
            name: concat!($name, ".by_thread"),
            source: &[$texts[0], $texts[1], $maths],
            entry: "by_thread",
            bindings: $bindings,
            params: ParamsLayout::of::<ReduceParams>(),
            variants: $variants,
            grid: grid_by_thread,
            reference: |call| $twin(call, Parts::OfOutput),
            bound: |params| ($bound)(params, Parts::OfOutput),
        };
        const QUADS: Kernel = Kernel {
            name: concat!($name, ".rows_by_thread"),
            source: &["#import common/quads\n", $texts[0], $texts[2], $maths],
            ..EACH
        };
        Kernels {
            by_thread: EACH,
            by_group: Kernel { name: concat!($name, ".by_group"), entry: "by_group", grid: grid_by_group, ..EACH },
            rows_by_thread: QUADS,
            rows_by_group: Kernel {
                name: concat!($name, ".rows_by_group"),
                entry: "by_group",
                grid: grid_by_group,
                ..QUADS
            },
            by_columns: Kernel {
                name: concat!($name, ".by_columns"),
                entry: "by_columns",
                grid: grid_by_columns,
                reference: |call| $twin(call, Parts::OfAll),
                bound: |params| ($bound)(params, Parts::OfAll),
                ..QUADS
            },
        }
    }};
}
pub(crate) use reduce_kernels;

/// What most reductions bind.
pub(crate) const X_TO_Y: &[Binding] = &[Binding::Read("x"), Binding::Write("y")];

/// One variant of floats, whose text names them `elem`.
pub(crate) const FLOATS: &[Variant] = &[Variant::new("", &[Item::Alias("elem", "f32")])];

/// The shape of a reduction's result.
pub(crate) fn reduced_shape(shape: &[usize], dims: &[usize], keepdim: bool) -> Shape {
    let kept = |d: usize| !dims.contains(&d);
    if keepdim {
        return (0..shape.len()).map(|d| if kept(d) { shape[d] } else { 1 }).collect();
    }
    (0..shape.len()).filter(|&d| kept(d)).map(|d| shape[d]).collect()
}

/// A gradient of a reduction's result, seen in the input's shape.
pub(crate) fn spread(g: &Tensor, shape: &[usize], dims: &[usize]) -> Result<Tensor> {
    g.try_reshape(&reduced_shape(shape, dims, true)[..])?.try_expand(shape)
}

/// The error of a reduction that has no value for no elements.
pub(crate) fn refuse_empty(op: &'static str, shape: &[usize], dims: &[usize]) -> Result<()> {
    match dims.iter().find(|&&d| shape[d] == 0) {
        Some(d) => {
            Err(Error::shape(op, format!("dim {d} of shape {shape:?} has no elements, and there is no identity")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn threads_of_a_gpu_read_neighbours() {
        let params = |shape: &[usize], dim: usize| {
            let x = Tensor::full_on(shape, 0.0, DType::F32, &Device::reference());
            let y = Tensor::full_on(&[shape[1 - dim]], 0.0, DType::F32, &Device::reference());
            ReduceParams::new("sum", &x, &[dim], &y).unwrap()
        };
        let (rows, columns) = (params(&[16_384, 65], 1), params(&[65, 16_384], 0));
        assert!(!suits_a_thread(false, &rows) && suits_a_thread(false, &columns));
        assert!(suits_a_thread(true, &rows) && suits_a_thread(true, &columns));
        assert!(suits_a_thread(false, &params(&[3, 64], 1)), "short rows");
        assert!(!suits_a_thread(false, &params(&[65, 100], 0)), "few columns");
    }
}
