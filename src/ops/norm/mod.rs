//! Normalisations: the kernels that the pages here share.
//!
//! Elements that share their moments (a channel of a batch, a row, a group of channels) and elements that share a weight
//! are both places of a contiguous tensor seen as `[outer, count, inner]`, with a number `k` below `count`: see [`Domain`].
//! Statistics are taken in parts, so that few channels with many elements keep a device busy, and the parts are merged in
//! a fixed order.

pub(crate) mod batch_norm;
pub(crate) mod group_norm;
pub(crate) mod instance_norm;
pub(crate) mod layer_norm;
mod plan;
pub(crate) mod rms_norm;
mod rows;
mod twins;

pub(crate) use plan::{Domain, Norm, variances};

use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, Item, Kernel, Params, ParamsLayout, Variant, WORKGROUP};
use crate::tensor::Tensor;
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/norm.wgsl`.
    pub struct NormParams {
        outer: u32,
        count: u32,
        inner: u32,
        splits: u32,
        part: u32,
        m_count: u32,
        m_inner: u32,
        a_count: u32,
        a_inner: u32,
        x_offset: u32,
        g_offset: u32,
        mean_offset: u32,
        spread_offset: u32,
        weight_offset: u32,
        bias_offset: u32,
        y_offset: u32,
        z_offset: u32,
        has_weight: u32,
        has_bias: u32,
        from_variance: u32,
        centered: u32,
        mode: u32,
        eps: f32,
        momentum: f32,
    }
}

/// Elements that a workgroup of the kernels that write every element takes: `CHUNK` in `shaders/common/norm.wgsl`.
const CHUNK: u32 = 16 * WORKGROUP;

macro_rules! norm_kernel {
    ($file:literal, $entry:literal, [$($binding:expr),*], $variants:expr, $grid:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: concat!($file, ".", $entry),
            source: &["#import common/words\n", include_str!(concat!("../../../shaders/norm/", $file, ".wgsl"))],
            entry: $entry,
            bindings: &[$($binding),*],
            params: ParamsLayout::of::<NormParams>(),
            variants: $variants,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}

/// A kernel above as another text has it, with the same bindings: for whole vectors of four.
macro_rules! quads_kernel {
    ($kernel:ident, $file:literal, $entry:literal, $variants:expr, $grid:expr) => {
        Kernel {
            name: concat!($file, ".", $entry),
            source: &["#import common/words\n", include_str!(concat!("../../../shaders/norm/", $file, ".wgsl"))],
            entry: $entry,
            variants: $variants,
            grid: $grid,
            ..$kernel
        }
    };
}

/// A kernel above, of numbers of half the width.
macro_rules! half_kernel {
    ($kernel:ident, $name:literal, $variants:expr) => {
        half_kernel!($kernel, $name, $variants, $kernel.grid)
    };
    ($kernel:ident, $name:literal, $variants:expr, $grid:expr) => {
        Kernel {
            name: $name,
            source: &["#import common/half_words\n", $kernel.source[1]],
            variants: $variants,
            grid: $grid,
            ..$kernel
        }
    };
}

use Binding::{FaultFlag, Read, ReadWrite, Write};

pub(crate) static MOMENTS_BY_THREAD: Kernel = norm_kernel!(
    "norm_moments",
    "by_thread",
    [Read("x"), Write("parts")],
    Variant::ONLY,
    grid_by_thread,
    |c| twins::moments(c, false),
    moments_bound
);
pub(crate) static MOMENTS_BY_GROUP: Kernel = norm_kernel!(
    "norm_moments",
    "by_group",
    [Read("x"), Write("parts")],
    Variant::ONLY,
    grid_by_group,
    |c| twins::moments(c, false),
    moments_bound
);

pub(crate) static HALF_MOMENTS_BY_THREAD: Kernel =
    half_kernel!(MOMENTS_BY_THREAD, "norm_moments.half_by_thread", Variant::HALVES);
pub(crate) static HALF_MOMENTS_BY_GROUP: Kernel =
    half_kernel!(MOMENTS_BY_GROUP, "norm_moments.half_by_group", Variant::HALVES);

/// [`MOMENTS_BY_THREAD`] of runs and parts in whole vectors of four.
pub(crate) static MOMENTS_BY_QUADS: Kernel = norm_kernel!(
    "norm_channels",
    "moments_by_thread",
    [Read("x"), Write("moments")],
    Variant::ONLY,
    grid_by_thread,
    |c| twins::moments(c, false),
    moments_bound
);
pub(crate) static HALF_MOMENTS_BY_QUADS: Kernel =
    half_kernel!(MOMENTS_BY_QUADS, "norm_channels.half_moments_by_thread", Variant::HALVES);

/// The correction leaves the roundings of single deviations and of the sum of their squares.
fn moments_bound(params: &Params<'_>) -> Bound {
    let part = f64::from(params.get::<NormParams>().part);
    Bound::Scaled { ulps: 4.0 + part.sqrt(), magnitude: |c| twins::moments(c, true) }
}

pub(crate) static MERGE: Kernel = norm_kernel!(
    "norm_moments",
    "merge",
    [Read("made"), Write("mean"), Write("spread")],
    Variant::ONLY,
    grid_merge,
    |c| twins::merge(c, false),
    |p| Bound::Scaled { ulps: merge_ulps(p), magnitude: |c| twins::merge(c, true) }
);
pub(crate) static MERGE_RUNNING: Kernel = norm_kernel!(
    "norm_moments",
    "merge_running",
    [
        Read("made"),
        Write("mean"),
        Write("spread"),
        ReadWrite("running_mean"),
        ReadWrite("running_var"),
        ReadWrite("batches"),
        FaultFlag
    ],
    Variant::ONLY,
    |p| if p.get::<NormParams>().mode == 1 { Grid::groups(1) } else { grid_merge(p) },
    |c| twins::merge_running(c, false),
    |p| Bound::Scaled { ulps: merge_ulps(p), magnitude: |c| twins::merge_running(c, true) }
);

/// A sum over the parts, then a division, a root and a product.
fn merge_ulps(params: &Params<'_>) -> f64 {
    6.0 + f64::from(params.get::<NormParams>().splits).sqrt()
}

const PLACES: &[Variant] =
    &[Variant::new("each", &[Item::Const("SEGMENTS", 0)]), Variant::new("segments", &[Item::Const("SEGMENTS", 1)])];

pub(crate) static APPLY: Kernel = norm_kernel!(
    "norm_apply",
    "forward",
    [Read("x"), Read("mean"), Read("spread"), Read("weight"), Read("bias"), Write("y")],
    PLACES,
    grid_places,
    |c| twins::apply(c, false),
    // A difference, a root with its reciprocal (3), two products and a sum.
    |_| Bound::Scaled { ulps: 6.0, magnitude: |c| twins::apply(c, true) }
);
pub(crate) static INPUT_GRADIENT: Kernel = norm_kernel!(
    "norm_apply",
    "backward",
    [
        Read("g"),
        Read("mean"),
        Read("spread"),
        Read("weight"),
        Read("input"),
        Read("sum_g"),
        Read("sum_gx"),
        Write("dx")
    ],
    PLACES,
    grid_places,
    |c| twins::input_gradient(c, false),
    // As forward, with three more products and two more sums.
    |_| Bound::Scaled { ulps: 12.0, magnitude: |c| twins::input_gradient(c, true) }
);

/// [`PLACES`] of f16, then of bf16.
const HALF_PLACES: &[Variant] = &[
    Variant::new("f16 each", &[Item::F16, Item::Const("SEGMENTS", 0)]),
    Variant::new("f16 segments", &[Item::F16, Item::Const("SEGMENTS", 1)]),
    Variant::new("bf16 each", &[Item::BF16, Item::Const("SEGMENTS", 0)]),
    Variant::new("bf16 segments", &[Item::BF16, Item::Const("SEGMENTS", 1)]),
];

pub(crate) static HALF_APPLY: Kernel = half_kernel!(APPLY, "norm_apply.half_forward", HALF_PLACES, grid_half_places);
pub(crate) static HALF_INPUT_GRADIENT: Kernel =
    half_kernel!(INPUT_GRADIENT, "norm_apply.half_backward", HALF_PLACES, grid_half_places);

/// [`APPLY`] and [`INPUT_GRADIENT`] by segments of whole vectors of four.
pub(crate) static APPLY_QUADS: Kernel =
    quads_kernel!(APPLY, "norm_apply_quads", "forward", Variant::ONLY, |p| grid_of_places(p, true));
pub(crate) static INPUT_GRADIENT_QUADS: Kernel =
    quads_kernel!(INPUT_GRADIENT, "norm_apply_quads", "backward", Variant::ONLY, |p| grid_of_places(p, true));
pub(crate) static HALF_APPLY_QUADS: Kernel =
    half_kernel!(APPLY_QUADS, "norm_apply_quads.half_forward", Variant::HALVES);
pub(crate) static HALF_INPUT_GRADIENT_QUADS: Kernel =
    half_kernel!(INPUT_GRADIENT_QUADS, "norm_apply_quads.half_backward", Variant::HALVES);

/// What the elements of a sum share: moments and weight, only the moments, only the weight.
const KINDS: &[Variant] = &[
    Variant::new("channels", &[Item::Const("SHARED", 0)]),
    Variant::new("rows", &[Item::Const("SHARED", 1)]),
    Variant::new("columns", &[Item::Const("SHARED", 2)]),
];

pub(crate) static SUMS_BY_THREAD: Kernel = norm_kernel!(
    "norm_backward",
    "by_thread",
    [Read("g"), Read("mean"), Read("spread"), Read("weight"), Read("x"), Write("parts")],
    KINDS,
    grid_by_thread,
    |c| twins::sums(c, false),
    sums_bound
);
pub(crate) static SUMS_BY_GROUP: Kernel = norm_kernel!(
    "norm_backward",
    "by_group",
    [Read("g"), Read("mean"), Read("spread"), Read("weight"), Read("x"), Write("parts")],
    KINDS,
    grid_by_group,
    |c| twins::sums(c, false),
    sums_bound
);

/// [`SUMS_BY_THREAD`] of columns, four neighbours at a time.
pub(crate) static SUMS_BY_COLUMNS: Kernel =
    quads_kernel!(SUMS_BY_THREAD, "norm_columns", "by_thread", Variant::ONLY, |p| {
        let p: &NormParams = p.get();
        Grid::elements(p.count / 4 * p.splits).work(elements(p) * 8)
    });

/// [`SUMS_BY_THREAD`] of channels, of runs and parts in whole vectors of four.
pub(crate) static SUMS_BY_QUADS: Kernel = norm_kernel!(
    "norm_channels",
    "sums_by_thread",
    [Read("g"), Read("mean"), Read("spread"), Read("weight"), Read("input"), Write("sums")],
    Variant::ONLY,
    grid_by_thread,
    |c| twins::sums(c, false),
    sums_bound
);
pub(crate) static HALF_SUMS_BY_QUADS: Kernel =
    half_kernel!(SUMS_BY_QUADS, "norm_channels.half_sums_by_thread", Variant::HALVES);

/// Of [`KINDS`] the first: halves are what `batch_norm` takes.
const HALF_CHANNELS: &[Variant] = &[
    Variant::new("f16", &[Item::F16, Item::Const("SHARED", 0)]),
    Variant::new("bf16", &[Item::BF16, Item::Const("SHARED", 0)]),
];

pub(crate) static HALF_SUMS_BY_THREAD: Kernel =
    half_kernel!(SUMS_BY_THREAD, "norm_backward.half_by_thread", HALF_CHANNELS);
pub(crate) static HALF_SUMS_BY_GROUP: Kernel =
    half_kernel!(SUMS_BY_GROUP, "norm_backward.half_by_group", HALF_CHANNELS);

/// A term has the errors of a normalised element and of two products; the sum as for matrix products.
fn sums_bound(params: &Params<'_>) -> Bound {
    let part = f64::from(params.get::<NormParams>().part);
    Bound::Scaled { ulps: 8.0 + 2.0 * part.sqrt(), magnitude: |c| twins::sums(c, true) }
}

pub(crate) static MERGE_SUMS: Kernel = norm_kernel!(
    "norm_backward",
    "merge",
    [Read("made"), Write("sums")],
    &[Variant::new("", &[Item::Const("SHARED", 0)])],
    grid_merge,
    twins::merge_sums,
    |p| Bound::Magnitude { ulps: 2.0 + 2.0 * f64::from(p.get::<NormParams>().splits).sqrt() }
);

macro_rules! row_kernel {
    ($entry:literal, [$($binding:expr),*], $grid:expr, $twin:expr, $ulps:expr) => {
        norm_kernel!("norm_rows", $entry, [$($binding),*], Variant::ONLY, $grid, |c| $twin(c, false), |_| Bound::Scaled {
            ulps: $ulps,
            magnitude: |c| $twin(c, true),
        })
    };
}

/// Whether the elements of a vector of four have a weight each, or one.
const WEIGHTS: &[Variant] = &[
    Variant::new("each", &[Item::Alias("weights", "vec4<f32>"), Item::Const("SHIFT", 2)]),
    Variant::new("runs", &[Item::Alias("weights", "f32"), Item::Const("SHIFT", 0)]),
];

/// [`ROWS_BY_THREAD`] and [`ROWS_BACKWARD_BY_THREAD`] of rows in whole vectors of four.
pub(crate) static ROWS_BY_QUADS: Kernel =
    quads_kernel!(ROWS_BY_THREAD, "norm_rows_quads", "by_thread", WEIGHTS, grid_by_thread);
pub(crate) static ROWS_BACKWARD_BY_QUADS: Kernel =
    quads_kernel!(ROWS_BACKWARD_BY_THREAD, "norm_rows_quads", "backward_by_thread", WEIGHTS, grid_by_thread);

// What grows with a row's length is in the magnitudes. Forward: a difference, a root with its reciprocal (3), two products
// and a sum, and the mean's own 2. Backward: three more products and two more sums.
pub(crate) static ROWS_BY_THREAD: Kernel = row_kernel!(
    "by_thread",
    [Read("x"), Read("weight"), Read("bias"), Write("y"), Write("mean"), Write("spread")],
    grid_by_thread,
    twins::row,
    8.0
);
pub(crate) static ROWS_BY_GROUP: Kernel = row_kernel!(
    "by_group",
    [Read("x"), Read("weight"), Read("bias"), Write("y"), Write("mean"), Write("spread")],
    grid_by_group,
    twins::row,
    8.0
);
pub(crate) static ROWS_BACKWARD_BY_THREAD: Kernel = row_kernel!(
    "backward_by_thread",
    [Read("g"), Read("mean_of"), Read("spread_of"), Read("weight_of"), Read("input"), Write("dx")],
    grid_by_thread,
    twins::row_backward,
    12.0
);
pub(crate) static ROWS_BACKWARD_BY_GROUP: Kernel = row_kernel!(
    "backward_by_group",
    [Read("g"), Read("mean_of"), Read("spread_of"), Read("weight_of"), Read("input"), Write("dx")],
    grid_by_group,
    twins::row_backward,
    12.0
);

fn elements(p: &NormParams) -> u64 {
    u64::from(p.outer) * u64::from(p.count) * u64::from(p.inner)
}

fn grid_by_thread(params: &Params<'_>) -> Grid {
    let p: &NormParams = params.get();
    Grid::elements(p.count * p.splits).work(elements(p) * 20)
}

fn grid_by_group(params: &Params<'_>) -> Grid {
    let p: &NormParams = params.get();
    Grid::groups(u64::from(p.count) * u64::from(p.splits)).work(elements(p).max(64) * 20)
}

fn grid_merge(params: &Params<'_>) -> Grid {
    let p: &NormParams = params.get();
    Grid::elements(p.count).work(u64::from(p.count) * u64::from(p.splits) * 10)
}

/// The variants are those of [`PLACES`]: it depends on the run's length which one serves.
fn grid_places(params: &Params<'_>) -> Grid {
    grid_of_places(params, plan::in_segments(params.get()))
}

/// The same of [`HALF_PLACES`].
fn grid_half_places(params: &Params<'_>) -> Grid {
    grid_of_places(params, plan::in_whole_segments(params.get()))
}

fn grid_of_places(params: &Params<'_>, in_segments: bool) -> Grid {
    let p: &NormParams = params.get();
    let groups = match in_segments {
        true => u64::from(p.outer) * u64::from(p.count) * u64::from(p.inner.div_ceil(CHUNK)),
        false => elements(p).div_ceil(u64::from(CHUNK)),
    };
    Grid::groups(groups).work(elements(p) * 12)
}

/// The error of a tensor of numbers, one for each of `count` things, that has another shape.
fn check_vector(op: &'static str, name: &str, tensor: Option<&Tensor>, count: usize, x: &[usize]) -> Result<()> {
    match tensor {
        Some(t) if !t.dtype().is_float() => Err(Error::dtype(op, format!("{name} must be f32, not {}", t.dtype()))),
        Some(t) if t.shape() != [count] => {
            let detail =
                format!("{name} needs the shape [{count}] for an input of shape {x:?}, it has {:?}", t.shape());
            Err(Error::shape(op, detail))
        }
        _ => Ok(()),
    }
}
