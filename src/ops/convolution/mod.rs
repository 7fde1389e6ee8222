//! Convolutions in one and two dims: the kernels that their pages share, and how they are launched.
//!
//! A convolution leads from a *large* side (its input) to a *small* one (its output), with a weight of shape
//! `[small channels, large channels of a group, kh, kw]`:
//!
//! `small[n, o, p] = Σ_c Σ_t weight[o, c, t] · large[n, c, p·stride + t·dilation − padding]`
//!
//! Its gradient of the large side is the forward run of a transposed convolution, and the other way round, so three
//! computations serve both: [`to_small`], [`to_large`] and [`weight_gradient`]. The second is run by the kernels of the
//! first: with a stride s the places of the large side fall into s·s classes, and what a class gets is a convolution with
//! every s-th tap of the kernel in reverse order. Nowhere is the input unfolded in memory.
//!
//! Kernels read what lies outside of the input as 0, so a weight that is infinite or NaN can give NaN at the border.
//!
//! Source: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016,
//! <https://arxiv.org/abs/1603.07285>.

pub(crate) mod conv;
pub(crate) mod conv_transpose;
mod geometry;
pub(crate) mod options;
mod twins;

use geometry::{Class, Geometry, image_strides, weight_strides};
use smallvec::SmallVec;

use super::{Run, Vjp};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{AdapterFacts, Binding, Bound, Grid, Item, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/convolution.wgsl`.
    pub struct ConvParams {
        batch: u32,
        groups: u32,
        rows: u32,
        channels: u32,
        taps: [u32; 2],
        in_size: [u32; 2],
        out_size: [u32; 2],
        stride: [u32; 2],
        dilation: [i32; 2],
        origin: [i32; 2],
        x_strides: [u32; 4],
        y_strides: [u32; 4],
        w_strides: [i32; 4],
        offsets: [u32; 4],
        w_group: u32,
        bias_stride: u32,
        has_bias: u32,
        padding: u32,
    }
}

params! {
    /// Twin of `Params` in `shaders/common/convolution_weight.wgsl`.
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

const BINDINGS: &[Binding] = &[Binding::Read("x"), Binding::Read("w"), Binding::Read("bias"), Binding::Write("y")];
const WEIGHT_BINDINGS: &[Binding] = &[Binding::Read("g"), Binding::Read("x"), Binding::Write("y")];

/// For adapters with subgroups of eight threads or more.
const SUBGROUP: &[Variant] = &[Variant::new("", &[]).subgroups(8)];

/// Tiles of channels and places: square, and wide for few channels.
const TILES: &[Variant] = &[
    Variant::new("64x64", &[Item::Const("ROWS", 64), Item::Const("PLACES", 64), Item::Const("DEPTH", 16)]),
    Variant::new("16x256", &[Item::Const("ROWS", 16), Item::Const("PLACES", 256), Item::Const("DEPTH", 8)]),
];

/// A kernel of `shaders/convolution/FILE.wgsl`.
macro_rules! kernel {
    ($name:literal, $file:literal, $block:ty, $bindings:expr, $variants:expr, $twin:expr, $grid:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!(concat!("../../../shaders/convolution/", $file, ".wgsl"))],
            entry: "main",
            bindings: $bindings,
            params: ParamsLayout::of::<$block>(),
            variants: $variants,
            grid: |p| {
                let grid: fn(&$block) -> Grid = $grid;
                let p: &$block = p.get();
                grid(p).work(p.work()).flops(p.flops()).elements_moved(p.moved())
            },
            reference: $twin,
            bound: |p| p.get::<$block>().bound(),
        }
    };
}

/// A kernel that convolves.
macro_rules! convolving {
    ($name:literal, $file:literal, $variants:expr, $grid:expr) => {
        kernel!($name, $file, ConvParams, BINDINGS, $variants, twins::convolution, $grid)
    };
}

/// A kernel that gives the gradient of a weight.
macro_rules! weighing {
    ($name:literal, $file:literal, $variants:expr, $grid:expr) => {
        kernel!($name, $file, WeightParams, WEIGHT_BINDINGS, $variants, twins::weight, $grid)
    };
}

// After the macros that it uses.
mod tuned;
mod vectors;

/// A thread a quad of one channel.
static DIRECT: Kernel = convolving!("conv.direct", "direct", Variant::ONLY, |p| {
    Grid::elements(p.batch * p.groups * p.rows * p.out_size[0] * p.out_size[1].div_ceil(4))
});

/// A tile a workgroup of 256 threads, panels of weight and input in workgroup memory: for GPUs.
static PANELS: Kernel = convolving!("conv.panels", "panels", TILES, |p| {
    let places = u64::from(p.batch) * u64::from(p.out_size[0]) * u64::from(p.out_size[1]);
    let (rows, width) = if p.is_narrow() { (16, 256) } else { (64, 64) };
    Grid::groups(places.div_ceil(width) * u64::from(p.groups) * u64::from(p.rows.div_ceil(rows)))
});

/// 16 channels of eight quads for a subgroup of eight, which spreads what one of its threads loads: for software drivers with
/// such subgroups.
static LANES: Kernel = convolving!("conv.lanes", "lanes", SUBGROUP, |p| p.grid_of_quads());

/// The same where neighbouring places and taps share elements, and a line of the kernel is a multiple of three long: half as
/// much again (`cargo bench --bench conv`). For those that [`vectors`] has nothing for.
static TRIPLES: Kernel = convolving!("conv.triples", "triples", SUBGROUP, |p| p.grid_of_quads());

/// A thread an element of a part.
static WEIGHT_DIRECT: Kernel =
    weighing!("conv.weight_direct", "weight_direct", Variant::ONLY, |p| Grid::elements(p.weights() * p.splits));

/// 64 channels of g times 64 weights a workgroup of 256 threads, panels of both in workgroup memory: for GPUs.
static WEIGHT_PANELS: Kernel = weighing!("conv.weight_panels", "weight_panels", Variant::ONLY, |p| p.grid(64, 64, 1));

/// Eight channels of g times 48 weights for a subgroup of eight: for software drivers with such subgroups.
static WEIGHT_LANES: Kernel = weighing!("conv.weight_lanes", "weight_lanes", SUBGROUP, |p| p.grid(8, 48, 1));

/// Eight channels of g times 16 blocks of three neighbouring taps for a subgroup of eight, where neighbouring places read
/// neighbouring elements: twice as fast (`cargo bench --bench conv`).
static WEIGHT_SLIDE: Kernel = weighing!("conv.weight_slide", "weight_slide", SUBGROUP, |p| p.grid(8, 16, 3));

/// All kernels.
pub(crate) const KERNELS: &[&Kernel] = &[
    &DIRECT,
    &PANELS,
    &LANES,
    &TRIPLES,
    &vectors::PACK,
    &vectors::PACK_LINES,
    &vectors::CROP,
    &vectors::VECTORS,
    &WEIGHT_DIRECT,
    &WEIGHT_PANELS,
    &WEIGHT_LANES,
    &WEIGHT_SLIDE,
    &vectors::WEIGHT_VECTORS,
];

/// The family of kernels that convolve, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("conv", &["direct", "panels", "lanes"]);

impl ConvParams {
    fn elements(&self) -> u32 {
        self.batch * self.groups * self.rows * self.out_size[0] * self.out_size[1]
    }

    /// Terms of an element's sum.
    fn terms(&self) -> u64 {
        u64::from(self.channels) * u64::from(self.taps[0]) * u64::from(self.taps[1])
    }

    fn work(&self) -> u64 {
        u64::from(self.elements()) * self.terms().max(1)
    }

    fn flops(&self) -> u64 {
        2 * u64::from(self.elements()) * self.terms()
    }

    /// Elements of input, weight, bias and result. With a stride, taps that are fewer leave some of the input out.
    fn moved(&self) -> u64 {
        let lines = u64::from(self.groups) * u64::from(self.rows);
        let x = u64::from(self.batch) * u64::from(self.groups) * u64::from(self.channels) * area(self.in_size);
        x + lines * self.terms() + lines * u64::from(self.has_bias) + u64::from(self.elements())
    }

    /// Whether a square tile would be more than half empty.
    fn is_narrow(&self) -> bool {
        self.rows <= 32
    }

    /// A workgroup for 16 channels of eight quads of places.
    fn grid_of_quads(&self) -> Grid {
        let quads = u64::from(self.batch) * u64::from(self.out_size[0]) * u64::from(self.out_size[1].div_ceil(4));
        Grid::groups(quads.div_ceil(8) * u64::from(self.groups) * u64::from(self.rows.div_ceil(16)))
    }

    /// Iterations of a thread's loops, of the kernel that has most.
    fn iterations(&self) -> u64 {
        let [r, s] = self.taps.map(u64::from);
        (r * s * (1 + u64::from(self.channels))).max(r * u64::from(self.channels) * (1 + s))
    }

    /// Sums of products, as for a matrix product.
    fn bound(&self) -> Bound {
        Bound::Magnitude { ulps: 2.0 + 4.0 * (self.terms() as f64).sqrt() }
    }
}

impl WeightParams {
    /// Of one part.
    fn weights(&self) -> u32 {
        self.groups * self.rows * self.channels * self.taps[0] * self.taps[1]
    }

    /// A workgroup for so many rows of so many blocks, each of so many neighbouring weights of a line.
    fn grid(&self, rows: u32, blocks: u32, width: u32) -> Grid {
        let all = u64::from(self.channels) * u64::from(self.taps[0]) * u64::from(self.taps[1].div_ceil(width));
        let tiles = all.div_ceil(u64::from(blocks)) * u64::from(self.rows.div_ceil(rows));
        Grid::groups(tiles * u64::from(self.groups) * u64::from(self.splits)).work(self.work())
    }

    fn work(&self) -> u64 {
        u64::from(self.weights()) * u64::from(self.places.max(1))
    }

    /// Places of the parts of this dispatch.
    fn dispatched(&self) -> u64 {
        (u64::from(self.part) * u64::from(self.splits)).min(u64::from(self.places.saturating_sub(self.first)))
    }

    fn flops(&self) -> u64 {
        2 * u64::from(self.weights()) * self.dispatched()
    }

    /// Elements of the gradient, the input and the parts of the result.
    fn moved(&self) -> u64 {
        let groups = u64::from(self.groups);
        let images = self.dispatched().div_ceil(area(self.out_size).max(1));
        let g = groups * u64::from(self.rows) * self.dispatched();
        let x = groups * u64::from(self.channels) * area(self.in_size) * images;
        g + x + u64::from(self.weights()) * u64::from(self.splits)
    }

    /// Sums of products, as for a matrix product.
    fn bound(&self) -> Bound {
        Bound::Magnitude { ulps: 2.0 + 4.0 * f64::from(self.part).sqrt() }
    }
}

fn area(size: [u32; 2]) -> u64 {
    u64::from(size[0]) * u64::from(size[1])
}

fn words(sizes: [usize; 2]) -> [u32; 2] {
    sizes.map(|s| s as u32)
}

fn signed(sizes: [usize; 2]) -> [i32; 2] {
    sizes.map(|s| s as i32)
}

/// The forward run of a convolution, or the gradient of a transposed one's input.
pub(crate) fn to_small(
    run: &mut Run<'_>,
    geometry: &Geometry,
    large: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    small: &Tensor,
) -> Result<()> {
    let params = ConvParams {
        rows: geometry.small_channels as u32,
        channels: geometry.large_channels as u32,
        taps: words(geometry.kernel),
        in_size: words(geometry.large),
        out_size: words(geometry.small),
        stride: words(geometry.stride),
        dilation: signed(geometry.dilation),
        origin: signed(geometry.padding).map(|p| -p),
        ..common_params(geometry, large, weight, bias, small)
    };
    launch(run, geometry.op, &params, [large, weight, bias.unwrap_or(large), small])
}

/// The forward run of a transposed convolution, or the gradient of a convolution's input.
pub(crate) fn to_large(
    run: &mut Run<'_>,
    geometry: &Geometry,
    small: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    large: &Tensor,
) -> Result<()> {
    let common = common_params(geometry, small, weight, bias, large);
    let [row, channel, down, across] = common.w_strides;
    for h in (0..geometry.stride[0]).filter_map(|start| Class::new(geometry, 0, start)) {
        for w in (0..geometry.stride[1]).filter_map(|start| Class::new(geometry, 1, start)) {
            let [image, plane, line, place] = common.y_strides;
            let params = ConvParams {
                rows: geometry.large_channels as u32,
                channels: geometry.small_channels as u32,
                taps: [h.taps, w.taps],
                in_size: words(geometry.small),
                out_size: [h.places, w.places],
                stride: [1, 1],
                dilation: [h.dilation, w.dilation],
                origin: [h.origin, w.origin],
                y_strides: [image, plane, line * geometry.stride[0] as u32, place * geometry.stride[1] as u32],
                w_strides: [channel, row, h.tap_step * down, w.tap_step * across],
                offsets: [
                    common.offsets[0],
                    (common.offsets[1] as i32 + h.first_tap * down + w.first_tap * across) as u32,
                    common.offsets[2],
                    common.offsets[3] + h.start * line + w.start * place,
                ],
                ..common
            };
            launch(run, geometry.op, &params, [small, weight, bias.unwrap_or(small), large])?;
        }
    }
    Ok(())
}

/// What both directions have in common: batch, groups, steps and first elements.
fn common_params(geometry: &Geometry, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, y: &Tensor) -> ConvParams {
    let w_strides = weight_strides(weight);
    ConvParams {
        batch: geometry.batch as u32,
        groups: geometry.groups as u32,
        x_strides: image_strides(x, geometry.dims),
        y_strides: image_strides(y, geometry.dims),
        w_strides,
        offsets: [x.offset() as u32, weight.offset() as u32, bias.map_or(0, |b| b.offset() as u32), y.offset() as u32],
        w_group: (geometry.small_channels as i32 * w_strides[0]) as u32,
        bias_stride: bias.map_or(0, |b| b.strides()[0] as u32),
        has_bias: u32::from(bias.is_some()),
        ..bytemuck::Zeroable::zeroed()
    }
}

/// Channels of a group from which a tile of them pays: on a software driver (`cargo bench --bench conv`: the gradient of
/// the input of 1→16) and on a GPU.
const FEW: [u32; 2] = [2, 4];

/// Iterations of a thread's loops that lavapipe still runs: it ends all of them after 65,535 together, without a word.
const MAX_ITERATIONS: u64 = 60_000;

/// Which family member serves.
fn choice(run: &Run<'_>, rows: u32) -> &'static str {
    let device = run.device();
    let software = device.adapter().is_some_and(|facts| facts.is_software());
    let usual = match software {
        _ if rows < FEW[usize::from(!software)] => "direct",
        true => "lanes",
        false => "panels",
    };
    match device.forced_choice(FAMILY.0).unwrap_or(usual) {
        "lanes" if !device.has_subgroups(8) => "panels",
        choice => choice,
    }
}

fn launch(run: &mut Run<'_>, op: &'static str, params: &ConvParams, operands: [&Tensor; 4]) -> Result<()> {
    let unit = params.stride[1] == 1 && params.dilation[1] == 1;
    let (kernel, variant) = match choice(run, params.rows) {
        "lanes" if vectors::fit(params) => (&vectors::VECTORS, 0),
        "lanes" if unit && params.taps[1].is_multiple_of(3) => (&TRIPLES, 0),
        "lanes" => (&LANES, 0),
        "panels" => (&PANELS, usize::from(params.is_narrow())),
        _ => (&DIRECT, 0),
    };
    let facts = run.device().adapter();
    if facts.is_some_and(|facts| facts.is_software()) && params.iterations() > MAX_ITERATIONS {
        let detail = format!(
            "{} channels and a kernel of {:?} are too many: software drivers end a shader's loops after some \
             {MAX_ITERATIONS} iterations",
            params.channels, params.taps
        );
        return Err(Error::Limit { op, detail });
    }
    let max_work = facts.map(|facts| facts.max_work());
    if std::ptr::eq(kernel, &vectors::VECTORS) {
        let [x, w, _, y] = operands;
        let packed = vectors::prepare(run, params, x, w);
        let bias = if params.has_bias != 0 { operands[2] } else { &packed.x };
        let operands = [&packed.x, &packed.w, bias, packed.y.as_ref().unwrap_or(y)];
        for part in image_parts(&packed.params, max_work) {
            run.dispatch(kernel, variant, &operands, &part);
        }
        if let Some(result) = &packed.y {
            vectors::finish(run, params, result, y);
        }
        return Ok(());
    }
    for part in image_parts(params, max_work) {
        run.dispatch(kernel, variant, &operands, &part);
    }
    Ok(())
}

/// A convolution in parts of its images, none of which runs so long that a driver could end it.
fn image_parts(params: &ConvParams, max_work: Option<u64>) -> SmallVec<[ConvParams; 1]> {
    let image = params.work() / u64::from(params.batch.max(1));
    let most = max_work.map_or(u32::MAX, |work| (work / image.max(1)).clamp(1, u64::from(u32::MAX)) as u32);
    let starts = (0..params.batch).step_by(most as usize);
    let part = |first: u32| {
        let mut part = ConvParams { batch: (params.batch - first).min(most), ..*params };
        part.offsets[0] += first * params.x_strides[0];
        part.offsets[3] += first * params.y_strides[0];
        part
    };
    starts.map(part).collect()
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

/// The gradient of the weight, into the contiguous `result`.
pub(crate) fn weight_gradient(
    run: &mut Run<'_>,
    geometry: &Geometry,
    small: &Tensor,
    large: &Tensor,
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
        x_strides: image_strides(large, geometry.dims),
        g_strides: image_strides(small, geometry.dims),
        ..bytemuck::Zeroable::zeroed()
    };
    params.offsets = [small.offset() as u32, large.offset() as u32, 0, 0];
    let max_work = run.device().adapter().map(|facts| facts.max_work());
    let choice = choice(run, params.rows.max(params.channels));
    if choice == "lanes" && vectors::fits_weight(&params) {
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
    let kernel = match choice {
        // Where most of a tile would lie idle, a thread an element is faster.
        "lanes" if params.rows.min(8) * (params.channels * params.taps[0]).min(16) <= 6 => &WEIGHT_DIRECT,
        "lanes" if unit => &WEIGHT_SLIDE,
        "lanes" => &WEIGHT_LANES,
        "panels" => &WEIGHT_PANELS,
        _ => &WEIGHT_DIRECT,
    };
    for some in some_parts(&params, max_work) {
        run.dispatch(kernel, 0, &[small, large, &parts], &some);
    }
    if params.splits > 1 {
        super::reduce::sum::sum_into(run, &parts, &[0], &flat(result))?;
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

/// The gradient of the bias: the sum over all but the channels.
fn bias_gradient(v: &mut Vjp<'_>, dims: usize) -> Result<Option<Tensor>> {
    if !v.needs(2) {
        return Ok(None);
    }
    let g = v.gradient();
    let channels = g.dim() - 1 - dims;
    let others: SmallVec<[usize; 4]> = (0..g.dim()).filter(|&d| d != channels).collect();
    let db = v.gradient_output(2);
    super::reduce::sum::sum_into(v, g, &others, &db)?;
    Ok(Some(db))
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

    #[test]
    fn many_images_are_run_in_pieces() {
        let whole = ConvParams {
            batch: 10,
            groups: 1,
            rows: 2,
            channels: 3,
            taps: [1, 1],
            out_size: [5, 5],
            x_strides: [75, 25, 5, 1],
            y_strides: [50, 25, 5, 1],
            ..bytemuck::Zeroable::zeroed()
        };
        assert_eq!(image_parts(&whole, None).len(), 1);
        let pieces = image_parts(&whole, Some(600));
        let images: Vec<u32> = pieces.iter().map(|p| p.batch).collect();
        assert_eq!(images, [4, 4, 2]);
        assert_eq!((pieces[2].offsets[0], pieces[2].offsets[3]), (8 * 75, 8 * 50));
    }
}
