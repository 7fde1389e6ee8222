//! `sort` and `topk`: the elements along a dim in order, with the places that they came from.
//!
//! Always stable: equal elements stay in their order, also in descending order. A NaN is greater than every number, 0 and -0
//! are equal. The gradient goes back to where the elements came from.
//!
//! A row that fits into workgroup memory is sorted there by a bitonic network. Longer ones are sorted in blocks, which are
//! merged in log₂(n / 1024) passes, each thread finding its part of a merge by bisection. On software drivers, where every
//! barrier is dear, a thread sorts a block by merges. All comparisons are of integers, so the order is the same on every
//! device.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sort.html>, <https://pytorch.org/docs/stable/generated/torch.topk.html>

use std::cmp::Ordering;

use smallvec::smallvec;

use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, pair, tune};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::tuner::class;
use crate::engine::{AdapterFacts, Binding, Bound, Device, Grid, HostCall, Item, Kernel, ParamsLayout, Variant};
use crate::tensor::shape::{Walk, dim_index, numel, strided_offset};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/sort.wgsl`.
    pub struct SortParams {
        n: u32,
        rows: u32,
        len: u32,
        limit: u32,
        slots: u32,
        run: u32,
        descending: u32,
        offset: u32,
        step: u32,
        inner: u32,
        result_offset: u32,
        rank: u32,
        shape: [u32; 8],
        strides: [u32; 8],
    }
}

/// Elements that workgroup memory holds.
const SLOTS: u32 = 1024;
/// Elements that a thread merges.
const CHUNK: u32 = 8;

/// The ways to sort, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("sort", &["rows", "merge", "runs"]);

const VARIANTS: &[Variant] = &[
    Variant::new("f32", &[Item::Alias("elem", "f32"), Item::Const("KIND", 0), Item::Const("LEAST", 0)]),
    Variant::new("i32", &[Item::Alias("elem", "i32"), Item::Const("KIND", 1), Item::Const("LEAST", 0)]),
    Variant::new("u32", &[Item::Alias("elem", "u32"), Item::Const("KIND", 2), Item::Const("LEAST", 0)]),
];
/// Of kernels that know nothing of the elements.
const KEYS: &[Variant] =
    &[Variant::new("", &[Item::Alias("elem", "f32"), Item::Const("KIND", 0), Item::Const("LEAST", 0)])];

macro_rules! sort_kernel {
    ($name:literal, $entry:literal, $bindings:expr, $variants:expr, $grid:expr, $twin:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!("../../shaders/sort.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<SortParams>(),
            variants: $variants,
            grid: |p| {
                let grid: fn(&SortParams) -> Grid = $grid;
                grid(p.get())
            },
            reference: $twin,
            bound: |_| Bound::Exact,
        }
    };
}

/// Steps of a network for each of the slots.
const NETWORK: u64 = 55 * SLOTS as u64;

static ROWS: Kernel = sort_kernel!(
    "sort.rows",
    "rows",
    &[Binding::Read("x"), Binding::Write("row_values"), Binding::Write("row_indices")],
    VARIANTS,
    |p| {
        let groups = u64::from(p.rows.div_ceil((SLOTS / p.slots).max(1)));
        Grid::groups(groups).work(groups * NETWORK)
    },
    rows_twin
);

static BLOCKS: Kernel = sort_kernel!(
    "sort.blocks",
    "blocks",
    &[Binding::Read("x"), Binding::Write("block_keys"), Binding::Write("block_places")],
    VARIANTS,
    |p| {
        let groups = u64::from(p.rows) * u64::from(p.len.div_ceil(SLOTS));
        Grid::groups(groups).work(groups * NETWORK)
    },
    blocks_twin
);

static RUNS: Kernel = sort_kernel!(
    "sort.runs",
    "runs",
    &[
        Binding::Read("x"),
        Binding::Write("block_keys"),
        Binding::Write("block_places"),
        Binding::Write("spare_keys"),
        Binding::Write("spare_places"),
    ],
    VARIANTS,
    |p| {
        let blocks = u64::from(p.rows) * u64::from(p.len.div_ceil(SLOTS));
        Grid::groups(blocks.div_ceil(8)).work(blocks * 40 * u64::from(SLOTS))
    },
    runs_twin
);

static MERGE: Kernel = sort_kernel!(
    "sort.merge",
    "merge",
    // What lies behind the limit stays as it is.
    &[
        Binding::Read("run_keys"),
        Binding::Read("run_places"),
        Binding::ReadWrite("merged_keys"),
        Binding::ReadWrite("merged_places"),
    ],
    KEYS,
    |p| Grid::elements(p.n).work(u64::from(p.n) * 128),
    merge_twin
);

static TAKE: Kernel = sort_kernel!(
    "sort.take",
    "take",
    &[Binding::Read("x"), Binding::Read("sorted"), Binding::Write("values"), Binding::Write("indices")],
    VARIANTS,
    |p| Grid::elements(p.n),
    take_twin
);

static BACKWARD: Kernel = sort_kernel!(
    "sort.backward",
    "backward",
    &[Binding::Read("g"), Binding::Read("taken"), Binding::ReadWrite("dx")],
    KEYS,
    |p| Grid::elements(p.n),
    backward_twin
);

impl SortParams {
    /// Where element `j` of a row of x lies.
    fn source(&self, row: u32, j: u32) -> usize {
        strided_offset(row, self.rank, &self.shape, &self.strides) + (self.offset + j * self.step) as usize
    }

    /// Where element `j` of a row lies in a contiguous result with `count` elements a row.
    fn result(&self, row: u32, j: u32, count: u32) -> usize {
        ((row / self.inner * count + j) * self.inner + row % self.inner) as usize
    }

    /// The order of two elements, NaN behind every number. All types are exact in `f64`.
    fn compare(&self, a: f64, b: f64) -> Ordering {
        let order = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        if self.descending != 0 { order.reverse() } else { order }
    }

    /// Row and place of element `i` of a result.
    fn row_and_place(&self, i: u32) -> (u32, u32) {
        let line = i / self.inner;
        (line / self.limit * self.inner + i % self.inner, line % self.limit)
    }
}

/// The places of elements `first..end` of a row in their order.
fn sorted_places(call: &HostCall<'_>, row: u32, first: u32, end: u32) -> Vec<u32> {
    let p: &SortParams = call.params();
    let mut elements: Vec<(f64, u32)> = (first..end).map(|j| (call.element(0, p.source(row, j)), j)).collect();
    // Stable, so equal ones stay in their order.
    elements.sort_by(|a, b| p.compare(a.0, b.0));
    elements.into_iter().map(|(_, j)| j).collect()
}

fn rows_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &SortParams = call.params();
    for row in 0..p.rows {
        let places = sorted_places(call, row, 0, p.len);
        let to = |j: usize| p.result(row, j as u32, p.limit);
        let kept = || places[..p.limit as usize].iter().enumerate();
        call.copy_elements(0, 1, kept().map(|(j, &place)| (Some(p.source(row, place)), to(j))));
        let mut indices = call.ints_mut(2);
        kept().for_each(|(j, &place)| indices[to(j)] = place as i32);
    }
    Ok(())
}

/// An element as an unsigned integer: twin of `key_of`.
fn key_of(variant: usize, value: f64, descending: bool) -> u32 {
    let key = match variant {
        0 if value.is_nan() => u32::MAX,
        0 if value == 0.0 => 1 << 31,
        0 => {
            let bits = (value as f32).to_bits();
            if value < 0.0 { !bits } else { bits | 1 << 31 }
        }
        1 => (value as i32) as u32 ^ 1 << 31,
        _ => value as u32,
    };
    if descending { !key } else { key }
}

fn blocks_twin(call: &HostCall<'_>) -> Result<()> {
    sorted_in_blocks(call, SLOTS, [1, 2]);
    Ok(())
}

/// The blocks, and beside them what they were made of: runs of half their length.
fn runs_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &SortParams = call.params();
    let mut run = 2;
    while 2 * run < p.len.min(SLOTS) {
        run *= 4;
    }
    sorted_in_blocks(call, SLOTS, [1, 2]);
    sorted_in_blocks(call, run, [3, 4]);
    Ok(())
}

/// Keys and places of every row, in sorted blocks of this length.
fn sorted_in_blocks(call: &HostCall<'_>, block: u32, [keys, places]: [usize; 2]) {
    let p: &SortParams = call.params();
    for row in 0..p.rows {
        for first in (0..p.len).step_by(block as usize) {
            let sorted = sorted_places(call, row, first, p.len.min(first + block));
            let (mut keys, mut to) = (call.words_mut(keys), call.ints_mut(places));
            for (s, &place) in sorted.iter().enumerate() {
                let at = (row * p.len + first) as usize + s;
                keys[at] = key_of(call.variant(), call.element(0, p.source(row, place)), p.descending != 0);
                to[at] = place as i32;
            }
        }
    }
}

/// The runs of each pair together, sorted.
fn merge_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &SortParams = call.params();
    let (keys, places) = (call.words(0), call.ints(1));
    let (mut merged_keys, mut merged_places) = (call.words_mut(2), call.ints_mut(3));
    for row in 0..p.rows {
        for start in (0..p.len).step_by(2 * p.run as usize) {
            let runs = [start, p.len.min(start + p.run)];
            let elements = runs.into_iter().flat_map(|first| first..p.len.min(first + p.run.min(p.limit)));
            let mut elements: Vec<usize> = elements.map(|j| (row * p.len + j) as usize).collect();
            elements.sort_by_key(|&at| keys[at]);
            for (k, &at) in elements.iter().take(p.limit as usize).enumerate() {
                let to = (row * p.len + start) as usize + k;
                (merged_keys[to], merged_places[to]) = (keys[at], places[at]);
            }
        }
    }
    Ok(())
}

fn take_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &SortParams = call.params();
    let sorted = call.ints(1);
    let mut indices = call.ints_mut(3);
    let places = (0..p.n).map(|i| {
        let (row, j) = p.row_and_place(i);
        let place = sorted[(row * p.len + j) as usize];
        indices[i as usize] = place;
        // A place that is none, which a broken driver may have written, is not looked up.
        ((0..p.len as i32).contains(&place).then(|| p.source(row, place as u32)), i as usize)
    });
    call.copy_elements(0, 2, places);
    Ok(())
}

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &SortParams = call.params();
    let (g, taken, mut dx) = (call.floats(0), call.ints(1), call.floats_mut(2));
    for i in 0..p.n {
        let (row, _) = p.row_and_place(i);
        let place = taken[i as usize] as u32;
        if place < p.len {
            dx[p.result_offset as usize + p.result(row, place, p.len)] = g[(p.offset + i) as usize];
        }
    }
    Ok(())
}

/// Params for the rows of a shape along dim `d`, of which `limit` elements are kept.
fn row_params(op: &'static str, shape: &[usize], strides: &[usize], d: usize, limit: usize) -> Result<SortParams> {
    let without = |values: &[usize]| {
        let kept = values.iter().enumerate().filter(|(i, _)| *i != d);
        kept.map(|(_, &v)| v).collect::<Shape>()
    };
    let (rest, steps) = (without(shape), without(strides));
    let (walk, _) = Walk::new(op, &rest, [&steps], rest.len())?;
    let len = shape.get(d).copied().unwrap_or(1);
    Ok(SortParams {
        n: (numel(&rest) * limit) as u32,
        rows: numel(&rest) as u32,
        len: len as u32,
        limit: limit as u32,
        slots: len.next_power_of_two().max(2) as u32,
        run: SLOTS,
        descending: 0,
        offset: 0,
        step: strides.get(d).copied().unwrap_or(1) as u32,
        inner: numel(&shape[(d + 1).min(shape.len())..]) as u32,
        result_offset: 0,
        rank: walk.rank,
        shape: walk.shape,
        strides: walk.strides[0],
    })
}

/// How rows are sorted where nobody says: on software drivers by threads (faster on lavapipe for short and long rows, for
/// few and many: workgroup memory needs barriers).
fn way(device: &Device) -> &'static str {
    let usual = if device.adapter().is_some_and(AdapterFacts::is_software) { "runs" } else { "rows" };
    device.forced_choice(FAMILY.0).unwrap_or(usual)
}

/// The first `limit` elements of every row along dim `d`, in order, and their places.
fn sort(call: &mut Call<'_>, d: usize, limit: usize, descending: bool) -> Result<Outputs> {
    let x = call.input(0);
    let mut shape: Shape = x.shape().into();
    if let Some(size) = shape.get_mut(d) {
        *size = limit;
    }
    let mut p = row_params(call.op(), x.shape(), x.strides(), d, limit)?;
    (p.descending, p.offset) = (u32::from(descending), x.offset() as u32);
    let outputs = if p.n == 0 {
        // Nothing is kept, or there is nothing.
        sorted_outputs(call, x.dtype(), &shape)
    } else {
        let size = |n: u32| class(n as usize);
        let key = || [size(p.rows), size(p.len), size(p.limit), size(p.step), x.dtype() as u32, p.descending, 0, 0];
        let choice = tune::fastest(call, FAMILY, key, |run| Ok(sort_as_chosen(run, x, &shape, p)))?;
        choice.run(|| sort_as_chosen(call, x, &shape, p))
    };
    call.save(&outputs[1]);
    Ok(outputs)
}

/// Memory for values and places.
fn sorted_outputs(run: &mut Run<'_>, dtype: DType, shape: &[usize]) -> Outputs {
    [dtype, DType::I32].into_iter().map(|dtype| run.output(dtype, shape)).collect()
}

fn sort_as_chosen(run: &mut Run<'_>, x: &Tensor, shape: &[usize], p: SortParams) -> Outputs {
    let outputs = sorted_outputs(run, x.dtype(), shape);
    let (values, indices) = (&outputs[0], &outputs[1]);
    let variant = x.dtype().storage_variant();
    if way(run.device()) == "rows" && (p.len <= SLOTS || run.device().is_reference()) {
        run.dispatch(&ROWS, variant, &[x, values, indices], &p);
    } else {
        let sorted = merged(run, x, p);
        run.dispatch(&TAKE, variant, &[x, &sorted, values, indices], &p);
    }
    outputs
}

/// The places of the elements of every row in order, row by row.
fn merged(run: &mut Run<'_>, x: &Tensor, mut p: SortParams) -> Tensor {
    let all = [(p.rows * p.len) as usize];
    let (mut keys, mut places) = (run.output(DType::U32, &all), run.output(DType::I32, &all));
    let variant = x.dtype().storage_variant();
    if way(run.device()) == "runs" {
        let spare = (run.output(DType::U32, &all), run.output(DType::I32, &all));
        run.dispatch(&RUNS, variant, &[x, &keys, &places, &spare.0, &spare.1], &p);
    } else {
        run.dispatch(&BLOCKS, variant, &[x, &keys, &places], &p);
    }
    p.n = p.rows * p.len.div_ceil(CHUNK);
    while p.run < p.len {
        let (to_keys, to_places) = (run.output(DType::U32, &all), run.output(DType::I32, &all));
        run.dispatch(&MERGE, 0, &[&keys, &places, &to_keys, &to_places], &p);
        (keys, places) = (to_keys, to_places);
        p.run *= 2;
    }
    places
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (shape, indices, g) = (v.input_shape(0), v.saved(0), v.gradient().try_contiguous()?);
    let d = dim_index("sort", v.attrs().get_int("dim"), shape.len())?;
    let limit = g.shape().get(d).copied().unwrap_or(1);
    // Where every element was kept, each place is written.
    let complete = g.numel() == numel(shape);
    let dx = if complete { v.gradient_output(0) } else { Tensor::try_full_on(shape, 0.0, DType::F32, v.device())? };
    let mut p = row_params("sort", shape, dx.strides(), d, limit)?;
    (p.offset, p.result_offset) = (g.offset() as u32, dx.offset() as u32);
    if p.n > 0 {
        v.dispatch(&BACKWARD, 0, &[&g, &indices, &dx], &p);
    }
    Ok(smallvec![Some(dx)])
}

/// The operation `sort`: values and places.
pub(crate) static SORT: Operation = Operation {
    name: "sort",
    kernels: &[&ROWS, &BLOCKS, &RUNS, &MERGE, &TAKE, &BACKWARD],
    forward: |call| {
        let (x, attrs) = (call.input(0), call.attrs());
        let d = dim_index("sort", attrs.get_int("dim"), x.dim())?;
        sort(call, d, x.shape().get(d).copied().unwrap_or(1), attrs.get_bool("descending"))
    },
    vjp: Some(vjp),
    cases: || {
        let case = |name: &str, x: cases::Input, dim: i64, descending: bool| {
            let attrs = Attrs::new().int("dim", dim).bool("descending", descending);
            cases::Case::new(name, vec![x]).attrs(attrs)
        };
        let mut list = ordered_cases(&|name, x, dim| case(name, x, dim, false));
        list.extend(ordered_cases(&|name, x, dim| case(&format!("{name}, descending"), x, dim, true)));
        let many = cases::Input::floats(&[1 << 18]).fill(cases::Fill::Uniform(-1.0, 1.0));
        list.push(case("the longest", many, 0, false).no_gradcheck());
        list
    },
};

/// The operation `topk`: values and places.
pub(crate) static TOPK: Operation = Operation {
    name: "topk",
    kernels: &[],
    forward: |call| {
        let (x, attrs) = (call.input(0), call.attrs());
        let d = dim_index("topk", attrs.get_int("dim"), x.dim())?;
        let (k, size) = (attrs.get_int("k"), x.shape().get(d).copied().unwrap_or(1));
        if k < 0 || k > size as i64 {
            let detail = format!("k is {k}, and dim {d} of shape {:?} has {size} elements", x.shape());
            return Err(Error::argument("topk", detail));
        }
        sort(call, d, k as usize, attrs.get_bool("largest"))
    },
    vjp: Some(vjp),
    cases: || {
        let case = |name: &str, x: cases::Input, k: i64, dim: i64, largest: bool| {
            let attrs = Attrs::new().int("k", k).int("dim", dim).bool("largest", largest);
            cases::Case::new(name, vec![x]).attrs(attrs)
        };
        let long = |shape: &[usize]| cases::Input::floats(shape).fill(cases::Fill::Whole(0, 900));
        let mut list = ordered_cases(&|name, x, dim| case(name, x, 1, dim, true));
        list.retain(|c| c.fails || c.inputs[0].shape.iter().all(|&s| s > 0));
        let distinct = |shape: &[usize]| cases::Input::floats(shape).fill(cases::Fill::Distinct);
        list.extend([
            case("three", distinct(&[4, 9]), 3, -1, true),
            case("three smallest", distinct(&[5, 2, 3]), 3, 0, false),
            case("all", distinct(&[2, 5]), 5, 1, true),
            case("none", distinct(&[2, 5]), 0, 1, true),
            case("few of many", long(&[2, 50_000]), 20, 1, true).no_gradcheck(),
            case("more than a block", long(&[1, 9_000]), 3_000, 1, false).no_gradcheck(),
            case("too many", distinct(&[2, 5]), 6, 1, true).fails(),
        ]);
        list
    },
};

/// Cases of what sorts along one dim.
fn ordered_cases(case: &dyn Fn(&str, cases::Input, i64) -> cases::Case) -> Vec<cases::Case> {
    use cases::{Arrangement, EXTREME, Fill, Input};
    let distinct = |shape: &[usize]| Input::floats(shape).fill(Fill::Distinct);
    let ties = |shape: &[usize]| Input::floats(shape).fill(Fill::Whole(0, 4));
    let words = |shape: &[usize]| Input::ints(shape, 0, 1 << 32).dtype(DType::U32);
    vec![
        case("last", distinct(&[4, 6]), -1),
        case("first", distinct(&[5, 3]), 0),
        case("middle", distinct(&[2, 5, 3]), 1),
        case("0-d", distinct(&[]), 0),
        case("one", distinct(&[1, 1]), 1),
        case("empty", distinct(&[0, 3]), 1),
        case("transposed", distinct(&[5, 3]).arranged(Arrangement::Transposed), 1),
        case("strided", distinct(&[3, 7]).arranged(Arrangement::Strided), 1),
        case("expanded", distinct(&[3, 4]).arranged(Arrangement::Expanded), 1),
        case("ties", ties(&[6, 90]), 1).no_gradcheck(),
        case("zeros", Input::floats(&[2, 70]).fill(Fill::Values(&[0.0, -0.0])), 1).no_gradcheck(),
        case("extreme", Input::floats(&[17, 3]).fill(EXTREME), 0).no_gradcheck(),
        case("extreme, long", Input::floats(&[2, 2_000]).fill(EXTREME), 1).no_gradcheck(),
        case("many rows", distinct(&[700, 3]), 1).no_gradcheck(),
        case("full", distinct(&[2, 1024]), 1).no_gradcheck(),
        case("long", distinct(&[3, 1025]), 1).no_gradcheck(),
        case("longer", ties(&[2, 9_000]), 1).no_gradcheck(),
        case("long columns", distinct(&[2_500, 3]), 0).no_gradcheck(),
        case("longest", Input::floats(&[1, 100_001]).fill(Fill::Whole(0, 5_000)), 1).no_gradcheck(),
        case("i32", Input::ints(&[3, 70], -90, 90), 1),
        case("i32 ends", Input::ints(&[2, 1500], i64::from(i32::MIN), i64::from(i32::MAX)), 1),
        case("u32", words(&[70, 3]), 0),
        case("u32, long", words(&[1, 3000]), 1),
        case("bool", Input::bools(&[2, 70]), 1),
        case("bad dim", distinct(&[2, 3]), 2).fails(),
    ]
}

methods! {
    /// The elements along a dim in ascending or descending order, and the places (i32) that they came from.
    ///
    /// Stable: equal elements stay in their order, as with PyTorch's `stable=True`. A NaN is greater than every number.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 1.0], &[4]);
    /// let (values, indices) = x.sort(-1, false);
    /// assert_eq!(values.to_vec::<f32>()?, [1.0, 1.0, 2.0, 3.0]);
    /// assert_eq!(indices.to_vec::<i32>()?, [1, 3, 2, 0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist.
    pub fn sort / try_sort (&self, dim: i64, descending: bool) -> (Tensor, Tensor) {
        pair(apply(&SORT, &[self], Attrs::new().int("dim", dim).bool("descending", descending)))
    }

    /// The `k` largest (or smallest) elements along a dim, and their places (i32). They come in order, the largest (smallest)
    /// first, and of equal ones the first; PyTorch promises less.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 5.0], &[4]);
    /// let (values, indices) = x.topk(2, -1, true);
    /// assert_eq!(values.to_vec::<f32>()?, [5.0, 3.0]);
    /// assert_eq!(indices.to_vec::<i32>()?, [3, 0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist or has fewer than `k` elements.
    pub fn topk / try_topk (&self, k: usize, dim: i64, largest: bool) -> (Tensor, Tensor) {
        let attrs = Attrs::new().int("k", k as i64).int("dim", dim).bool("largest", largest);
        pair(apply(&TOPK, &[self], attrs))
    }

    /// The places (i32) of the elements along a dim in order: what [`Self::sort`] gives with the values.
    pub fn argsort / try_argsort (&self, dim: i64, descending: bool) -> Tensor {
        self.detach().try_sort(dim, descending).map(|(_, indices)| indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways give what the definition gives; the kernels' twins run in their place.
    #[test]
    fn merging_and_sorting_rows_agree() {
        let device = Device::new_reference(true);
        let n = 5_000usize;
        let values: Vec<f32> =
            (0..n).map(|i| if i % 97 == 0 { f32::NAN } else { (i * i % 613) as f32 - 300.0 }).collect();
        for descending in [false, true] {
            let mut want: Vec<i32> = (0..n as i32).collect();
            let value = |&i: &i32| values[i as usize];
            let less = |a: f32, b: f32| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
            want.sort_by(|a, b| if descending { less(value(b), value(a)) } else { less(value(a), value(b)) });
            for way in FAMILY.1 {
                device.force_choice(FAMILY.0, Some(way));
                let x = Tensor::from_slice_on(&values, &[n], &device);
                assert_eq!(x.argsort(0, descending).to_vec::<i32>().unwrap(), want, "{way}");
                let (_, top) = x.topk(1500, 0, descending);
                assert_eq!(top.to_vec::<i32>().unwrap(), want[..1500], "{way}");
            }
        }
    }
}
