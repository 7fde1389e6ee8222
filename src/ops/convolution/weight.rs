//! The gradient of a convolution's weight: a sum over images and places, made in parts that are summed afterwards.

use smallvec::SmallVec;

use super::operand::Operand;
use super::{Geometry, MAX_ITERATIONS, SUBGROUP, area, choice, image_strides, signed, twins, vectors, words};
use crate::Result;
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{AdapterFacts, Binding, Bound, Grid, Kernel, ParamsLayout, Variant};
use crate::ops::Run;
use crate::ops::elementwise::half_variant;
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/common/convolution_weight_params.wgsl`.
    pub struct WeightParams {
        places: u32,
        part: u32,
        splits: u32,
        groups: u32,
        rows: u32,
        channels: u32,
        taps: [u32; 2],
        in_size: [u32; 2],
        out_size: [u32; 2],
        stride: [u32; 2],
        dilation: [i32; 2],
        origin: [i32; 2],
        first: u32,
        padding: u32,
        x_strides: [u32; 4],
        g_strides: [u32; 4],
        offsets: [u32; 4],
    }
}

pub(super) const WEIGHT_BINDINGS: &[Binding] = &[Binding::Read("g"), Binding::Read("x"), Binding::Write("y")];

/// A kernel that gives the gradient of a weight.
macro_rules! weighing {
    ($name:literal, $file:literal, $variants:expr, $grid:expr) => {
        kernel!($name, $file, WeightParams, WEIGHT_BINDINGS, $variants, twins::weight, $grid)
    };
}

/// A thread an element of a part.
pub(super) static WEIGHT_DIRECT: Kernel =
    weighing!("conv.weight_direct", "weight_direct", Variant::ONLY, |p| { Grid::elements(p.weights() * p.splits) });

/// [`WEIGHT_DIRECT`] of numbers of half the width, two to a word. The result is f32.
pub(super) static WEIGHT_DIRECT_HALF: Kernel = Kernel {
    name: "conv.half_weight_direct",
    source: &["#import common/half_words\n", WEIGHT_DIRECT.source[1]],
    variants: Variant::HALVES,
    grid: |p| (WEIGHT_DIRECT.grid)(p).of_halves(),
    ..WEIGHT_DIRECT
};

/// 64 channels of g times 64 weights a workgroup of 256 threads, panels of both in workgroup memory: for GPUs.
pub(super) static WEIGHT_PANELS: Kernel =
    weighing!("conv.weight_panels", "weight_panels", Variant::ONLY, |p| p.grid(64, 64, 1));

/// [`WEIGHT_PANELS`] of numbers of half the width, two to a word. The result is f32.
pub(super) static WEIGHT_PANELS_HALF: Kernel = Kernel {
    name: "conv.half_weight_panels",
    source: &["#import common/half_words\n", WEIGHT_PANELS.source[1]],
    variants: Variant::HALVES,
    grid: |p| (WEIGHT_PANELS.grid)(p).of_halves(),
    ..WEIGHT_PANELS
};

/// Eight channels of g times 48 weights for a subgroup of eight: for software drivers with such subgroups.
pub(super) static WEIGHT_LANES: Kernel = weighing!("conv.weight_lanes", "weight_lanes", SUBGROUP, |p| p.grid(8, 48, 1));

/// Eight channels of g times 16 blocks of three neighbouring taps for a subgroup of eight, where neighbouring places read
/// neighbouring elements: twice as fast (`cargo bench --bench conv`).
pub(super) static WEIGHT_SLIDE: Kernel = weighing!("conv.weight_slide", "weight_slide", SUBGROUP, |p| p.grid(8, 16, 3));

impl WeightParams {
    /// Of one part.
    pub(super) fn weights(&self) -> u32 {
        self.groups * self.rows * self.channels * self.taps[0] * self.taps[1]
    }

    /// A workgroup for so many rows of so many blocks, each of so many neighbouring weights of a line.
    fn grid(&self, rows: u32, blocks: u32, width: u32) -> Grid {
        let all = u64::from(self.channels) * u64::from(self.taps[0]) * u64::from(self.taps[1].div_ceil(width));
        let tiles = all.div_ceil(u64::from(blocks)) * u64::from(self.rows.div_ceil(rows));
        Grid::groups(tiles * u64::from(self.groups) * u64::from(self.splits)).work(self.work())
    }

    pub(super) fn work(&self) -> u64 {
        u64::from(self.weights()) * u64::from(self.places.max(1))
    }

    /// Places of the parts of this dispatch.
    fn dispatched(&self) -> u64 {
        (u64::from(self.part) * u64::from(self.splits)).min(u64::from(self.places.saturating_sub(self.first)))
    }

    pub(super) fn flops(&self) -> u64 {
        2 * u64::from(self.weights()) * self.dispatched()
    }

    /// Elements of the gradient, the input and the parts of the result.
    pub(super) fn moved(&self) -> u64 {
        let groups = u64::from(self.groups);
        let images = self.dispatched().div_ceil(area(self.out_size).max(1));
        let g = groups * u64::from(self.rows) * self.dispatched();
        let x = groups * u64::from(self.channels) * area(self.in_size) * images;
        g + x + u64::from(self.weights()) * u64::from(self.splits)
    }

    /// Sums of products, as for a matrix product.
    pub(super) fn bound(&self) -> Bound {
        Bound::Magnitude { ulps: 2.0 + 4.0 * f64::from(self.part).sqrt() }
    }
}

/// Places that a part has at most on a software driver: a thread walks them one by one, with up to two iterations each.
const LONGEST: u32 = MAX_ITERATIONS as u32 / 2;

/// Workgroups over which the gradient of a weight is spread, and places that a part then has at least: on a software driver
/// and on a GPU.
const SPREAD: [(u32, u32); 2] = [(8, 1_024), (512, 256)];

/// Into how many parts the places are split, which make a gradient each.
fn splits(params: &WeightParams, facts: Option<&AdapterFacts>) -> u32 {
    let software = facts.is_none_or(|facts| facts.is_software());
    let (workgroups, least) = SPREAD[usize::from(!software)];
    let tile = if software { (8, 48) } else { (64, 64) };
    let columns = params.channels * params.taps[0] * params.taps[1];
    let tiles = params.groups * params.rows.div_ceil(tile.0) * columns.div_ceil(tile.1);
    let spread = (workgroups / tiles.max(1)).min(params.places / least);
    let short = if software { params.places.div_ceil(LONGEST) } else { 1 };
    // A dispatch of one part must not run so long that a driver could end it.
    let light = facts.map_or(1, |facts| params.work().div_ceil(facts.max_work()));
    spread.max(short).max(light as u32).clamp(1, params.places.max(1))
}

/// The gradient of the weight, into the contiguous `result` of f32.
pub(crate) fn weight_gradient(
    run: &mut Run<'_>,
    geometry: &Geometry,
    small: &Operand<'_>,
    large: &Operand<'_>,
    result: &Tensor,
) -> Result<()> {
    let mut params = WeightParams {
        places: (geometry.batch * geometry.small[0] * geometry.small[1]) as u32,
        groups: geometry.groups as u32,
        rows: geometry.small_channels as u32,
        channels: geometry.large_channels as u32,
        taps: words(geometry.kernel),
        in_size: words(geometry.large),
        out_size: words(geometry.small),
        stride: words(geometry.stride),
        dilation: signed(geometry.dilation),
        origin: signed(geometry.padding).map(|p| -p),
        ..bytemuck::Zeroable::zeroed()
    };
    let choice = choice(run, params.rows.max(params.channels));
    let in_vectors = choice == "lanes" && vectors::fits_weight(&params);
    let as_is = choice != "lanes" && small.is_half() && large.is_half();
    let (small, large) = (small.of_type(as_is)?, large.of_type(as_is || in_vectors)?);
    params.x_strides = image_strides(large, geometry.dims);
    params.g_strides = image_strides(small, geometry.dims);
    params.offsets = [small.offset() as u32, large.offset() as u32, 0, 0];
    let max_work = run.device().adapter().map(|facts| facts.max_work());
    if in_vectors {
        params.splits = max_work.map_or(1, |work| params.work().div_ceil(work) as u32);
        return vectors::weight_gradient(run, &params, [small, large, result], |params| some_parts(params, max_work));
    }
    params.splits = splits(&params, run.device().adapter());
    params.part = params.places.div_ceil(params.splits);
    let parts = if params.splits == 1 {
        result.clone()
    } else {
        run.output(DType::F32, &[params.splits as usize, result.numel()])
    };
    params.offsets[2] = parts.offset() as u32;
    let unit = geometry.stride[1] == 1 && geometry.dilation[1] == 1 && geometry.kernel[1] > 1;
    let half = half_variant(small.dtype());
    let kernel = match (choice, half) {
        // Where most of a tile would lie idle, a thread an element is faster.
        ("lanes", _) if params.rows.min(8) * (params.channels * params.taps[0]).min(16) <= 6 => &WEIGHT_DIRECT,
        ("lanes", _) if unit => &WEIGHT_SLIDE,
        ("lanes", _) => &WEIGHT_LANES,
        ("panels", Some(_)) => &WEIGHT_PANELS_HALF,
        ("panels", None) => &WEIGHT_PANELS,
        (_, Some(_)) => &WEIGHT_DIRECT_HALF,
        (_, None) => &WEIGHT_DIRECT,
    };
    for some in some_parts(&params, max_work) {
        run.dispatch(kernel, half.unwrap_or(0), &[small, large, &parts], &some);
    }
    if params.splits > 1 {
        crate::ops::reduce::sum::sum_into(run, &parts, &[0], &flat(result))?;
    }
    Ok(())
}

/// The parts of a gradient, as many at a time as no driver could find too long.
fn some_parts(params: &WeightParams, max_work: Option<u64>) -> SmallVec<[WeightParams; 1]> {
    let part = params.work() / u64::from(params.splits);
    let most = max_work.map_or(u32::MAX, |work| (work / part.max(1)).clamp(1, u64::from(u32::MAX)) as u32);
    let starts = (0..params.splits).step_by(most as usize);
    let some = |first: u32| {
        let mut some = WeightParams { splits: (params.splits - first).min(most), ..*params };
        some.first = first * params.part;
        some.offsets[2] += first * params.weights();
        some
    };
    starts.map(some).collect()
}

/// A contiguous tensor as one dim.
fn flat(t: &Tensor) -> Tensor {
    let layout = crate::tensor::Layout {
        shape: smallvec::smallvec![t.numel()],
        strides: smallvec::smallvec![1],
        offset: t.offset(),
    };
    t.detach().view_as_layout(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_run_in_pieces() {
        let whole = WeightParams {
            places: 1000,
            part: 100,
            splits: 10,
            groups: 1,
            rows: 2,
            channels: 3,
            taps: [1, 1],
            offsets: [0, 0, 7, 0],
            ..bytemuck::Zeroable::zeroed()
        };
        assert_eq!(some_parts(&whole, None).len(), 1);
        let pieces = some_parts(&whole, Some(2_400));
        let splits: Vec<u32> = pieces.iter().map(|p| p.splits).collect();
        assert_eq!(splits, [4, 4, 2]);
        assert_eq!((pieces[2].first, pieces[2].offsets[2]), (800, 7 + 8 * 6));
    }
}
