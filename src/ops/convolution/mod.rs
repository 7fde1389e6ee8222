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
mod operand;
pub(crate) mod options;
mod twins;

use geometry::{Class, Geometry, image_strides, weight_strides};
use operand::{Chosen, Operand, Operands};
use smallvec::SmallVec;

use super::{Run, Vjp, elementwise::half_variant};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, Item, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/convolution_params.wgsl`.
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
        result_is_half: u32,
    }
}

const BINDINGS: &[Binding] = &[Binding::Read("x"), Binding::Read("w"), Binding::Read("bias"), Binding::Write("y")];

/// For adapters with subgroups of eight threads or more.
const SUBGROUP: &[Variant] = &[Variant::new("", &[]).subgroups(8)];

/// The prelude of a tile of channels and places.
macro_rules! tile {
    ($rows:literal, $places:literal, $depth:literal $(, $kind:expr)?) => {
        &[Item::Const("ROWS", $rows), Item::Const("PLACES", $places), Item::Const("DEPTH", $depth) $(, $kind)?]
    };
}

/// Tiles of channels and places: square, and wide for few channels.
const TILES: &[Variant] = &[Variant::new("64x64", tile!(64, 64, 16)), Variant::new("16x256", tile!(16, 256, 8))];

/// [`TILES`] of f16, then of bf16.
const HALF_TILES: &[Variant] = &[
    Variant::new("f16 64x64", tile!(64, 64, 16, Item::F16)),
    Variant::new("f16 16x256", tile!(16, 256, 8, Item::F16)),
    Variant::new("bf16 64x64", tile!(64, 64, 16, Item::BF16)),
    Variant::new("bf16 16x256", tile!(16, 256, 8, Item::BF16)),
];

/// A kernel of `shaders/convolution/FILE.wgsl`, of f32.
macro_rules! kernel {
    ($name:literal, $file:literal, $block:ty, $bindings:expr, $variants:expr, $twin:expr, $grid:expr) => {
        Kernel {
            name: $name,
            source: &["#import common/words\n", include_str!(concat!("../../../shaders/convolution/", $file, ".wgsl"))],
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

// After the macros that they use.
mod tuned;
mod vectors;
mod weight;

pub(crate) use weight::weight_gradient;

/// A thread a quad of one channel.
static DIRECT: Kernel = convolving!("conv.direct", "direct", Variant::ONLY, |p| {
    Grid::elements(p.batch * p.groups * p.rows * p.out_size[0] * p.out_size[1].div_ceil(4))
});

/// [`DIRECT`] of numbers of half the width, two to a word, with sums in f32.
static DIRECT_HALF: Kernel = Kernel {
    name: "conv.half_direct",
    source: &["#import common/half_words\n", DIRECT.source[1]],
    variants: Variant::HALVES,
    grid: |p| (DIRECT.grid)(p).of_halves(),
    ..DIRECT
};

/// A tile a workgroup of 256 threads, panels of weight and input in workgroup memory: for GPUs.
static PANELS: Kernel = convolving!("conv.panels", "panels", TILES, |p| {
    let places = u64::from(p.batch) * u64::from(p.out_size[0]) * u64::from(p.out_size[1]);
    let (rows, width) = if p.is_narrow() { (16, 256) } else { (64, 64) };
    Grid::groups(places.div_ceil(width) * u64::from(p.groups) * u64::from(p.rows.div_ceil(rows)))
});

/// [`PANELS`] of numbers of half the width, with [`TILES`] of f16, then of bf16.
static PANELS_HALF: Kernel = Kernel {
    name: "conv.half_panels",
    source: &["#import common/half_words\n", PANELS.source[1]],
    variants: HALF_TILES,
    grid: |p| (PANELS.grid)(p).of_halves(),
    ..PANELS
};

/// 16 channels of eight quads for a subgroup of eight, which spreads what one of its threads loads: for software drivers with
/// such subgroups.
static LANES: Kernel = convolving!("conv.lanes", "lanes", SUBGROUP, |p| p.grid_of_quads());

/// The same where neighbouring places and taps share elements, and a line of the kernel is a multiple of three long: half as
/// much again (`cargo bench --bench conv`). For those that [`vectors`] has nothing for.
static TRIPLES: Kernel = convolving!("conv.triples", "triples", SUBGROUP, |p| p.grid_of_quads());

/// All kernels.
pub(crate) const KERNELS: &[&Kernel] = &[
    &DIRECT,
    &DIRECT_HALF,
    &PANELS,
    &PANELS_HALF,
    &LANES,
    &TRIPLES,
    &vectors::PACK,
    &vectors::PACK_HALF,
    &vectors::PACK_LINES,
    &vectors::PACK_LINES_HALF,
    &vectors::CROP,
    &vectors::VECTORS,
    &weight::WEIGHT_DIRECT,
    &weight::WEIGHT_DIRECT_HALF,
    &weight::WEIGHT_PANELS,
    &weight::WEIGHT_PANELS_HALF,
    &weight::WEIGHT_LANES,
    &weight::WEIGHT_SLIDE,
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
pub(crate) fn to_small(run: &mut Run<'_>, geometry: &Geometry, operands: &Operands<'_>, small: &Tensor) -> Result<()> {
    let sizes = ConvParams {
        rows: geometry.small_channels as u32,
        channels: geometry.large_channels as u32,
        in_size: words(geometry.large),
        out_size: words(geometry.small),
        origin: signed(geometry.padding).map(|p| -p),
        ..sizes(geometry)
    };
    let chosen = operands.chosen(run, &sizes, small, true)?;
    launch(run, geometry.op, &placed(&sizes, geometry, &chosen), &chosen)?;
    chosen.finish(run, small)
}

/// The forward run of a transposed convolution, or the gradient of a convolution's input.
pub(crate) fn to_large(run: &mut Run<'_>, geometry: &Geometry, operands: &Operands<'_>, large: &Tensor) -> Result<()> {
    let sizes = ConvParams {
        rows: geometry.large_channels as u32,
        channels: geometry.small_channels as u32,
        in_size: words(geometry.small),
        out_size: words(geometry.large),
        ..sizes(geometry)
    };
    let chosen = operands.chosen(run, &sizes, large, geometry.stride[1] == 1)?;
    let common = placed(&sizes, geometry, &chosen);
    let [row, channel, down, across] = common.w_strides;
    for h in (0..geometry.stride[0]).filter_map(|start| Class::new(geometry, 0, start)) {
        for w in (0..geometry.stride[1]).filter_map(|start| Class::new(geometry, 1, start)) {
            let [image, plane, line, place] = common.y_strides;
            let params = ConvParams {
                taps: [h.taps, w.taps],
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
            launch(run, geometry.op, &params, &chosen)?;
        }
    }
    chosen.finish(run, large)
}

/// The sizes that both directions have in common.
fn sizes(geometry: &Geometry) -> ConvParams {
    ConvParams {
        batch: geometry.batch as u32,
        groups: geometry.groups as u32,
        taps: words(geometry.kernel),
        stride: words(geometry.stride),
        dilation: signed(geometry.dilation),
        ..bytemuck::Zeroable::zeroed()
    }
}

/// The same with where operands and result lie: steps and first elements.
fn placed(sizes: &ConvParams, geometry: &Geometry, chosen: &Chosen<'_>) -> ConvParams {
    let Chosen { x, weight, bias, y } = chosen;
    let w_strides = weight_strides(weight);
    ConvParams {
        x_strides: image_strides(x, geometry.dims),
        y_strides: image_strides(y, geometry.dims),
        w_strides,
        offsets: [x.offset() as u32, weight.offset() as u32, bias.map_or(0, |b| b.offset() as u32), y.offset() as u32],
        w_group: (geometry.small_channels as i32 * w_strides[0]) as u32,
        bias_stride: bias.map_or(0, |b| b.strides()[0] as u32),
        has_bias: u32::from(bias.is_some()),
        result_is_half: u32::from(y.dtype().is_half()),
        ..*sizes
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

fn launch(run: &mut Run<'_>, op: &'static str, params: &ConvParams, chosen: &Chosen<'_>) -> Result<()> {
    let Chosen { x, weight, bias, y } = chosen;
    let unit = params.stride[1] == 1 && params.dilation[1] == 1;
    let tile = usize::from(params.is_narrow());
    let half = half_variant(x.dtype());
    let (kernel, variant) = match (choice(run, params.rows), half) {
        ("lanes", _) if vectors::fit(params) => (&vectors::VECTORS, 0),
        ("lanes", _) if unit && params.taps[1].is_multiple_of(3) => (&TRIPLES, 0),
        ("lanes", _) => (&LANES, 0),
        ("panels", Some(half)) => (&PANELS_HALF, 2 * half + tile),
        ("panels", None) => (&PANELS, tile),
        (_, Some(half)) => (&DIRECT_HALF, half),
        (_, None) => (&DIRECT, 0),
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
    // Without a bias something has to be bound in its place; it is not read.
    if std::ptr::eq(kernel, &vectors::VECTORS) {
        let packed = vectors::prepare(run, params, x, weight);
        let operands = [&packed.x, &packed.w, bias.unwrap_or(&packed.x), packed.y.as_ref().unwrap_or(y)];
        for part in image_parts(&packed.params, max_work) {
            run.dispatch(kernel, variant, &operands, &part);
        }
        if let Some(result) = &packed.y {
            vectors::finish(run, params, result, y);
        }
        return Ok(());
    }
    for part in image_parts(params, max_work) {
        run.dispatch(kernel, variant, &[x, weight, bias.unwrap_or(x), y], &part);
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

/// The gradient of the bias from that of the result: the sum over all but the channels.
fn bias_gradient(v: &mut Vjp<'_>, g: &Operand<'_>, dims: usize) -> Result<Option<Tensor>> {
    if !v.needs(2) {
        return Ok(None);
    }
    let g = g.kept();
    let channels = g.dim() - 1 - dims;
    let others: SmallVec<[usize; 4]> = (0..g.dim()).filter(|&d| d != channels).collect();
    let db = parameter_gradient(v, 2);
    super::reduce::sum::sum_into(v, g, &others, &db)?;
    Ok(Some(db))
}

/// Memory for the gradient of a weight or bias: f32, which one of halves is made from.
fn parameter_gradient(v: &mut Vjp<'_>, i: usize) -> Tensor {
    let (half, shape) = (v.input_dtype(i).is_half(), v.input_shape(i));
    if half { v.output(DType::F32, shape) } else { v.gradient_output(i) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
