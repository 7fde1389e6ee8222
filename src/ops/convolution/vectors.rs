//! Convolutions with kernels of 3×3 for software drivers, where a load costs much the same for four numbers as for one:
//! images and weights are copied into lines of whole vectors, with their zeros round them, so that every shape is read in
//! vectors. That is twice as fast as without, and the copies are a twentieth of it (`cargo bench --bench conv`).

use smallvec::{SmallVec, smallvec};

use super::weight::{WEIGHT_BINDINGS, WeightParams};
use super::{BINDINGS, ConvParams, MAX_ITERATIONS, twins};
use crate::Result;
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, ParamsLayout, Variant};
use crate::ops::Run;
use crate::ops::elementwise::half_variant;
use crate::tensor::{Layout, Tensor};

params! {
    /// Twin of `Params` in `shaders/convolution/pack_place.wgsl`.
    pub struct PackParams {
        n: u32,
        offset: u32,
        spare: [u32; 2],
        shape: [u32; 4],
        origin: [i32; 2],
        in_size: [u32; 2],
        strides: [u32; 4],
        y_strides: [u32; 4],
    }
}

params! {
    /// Twin of `Params` in `shaders/convolution/crop.wgsl`.
    pub struct CropParams {
        n: u32,
        offset: u32,
        spare: [u32; 2],
        shape: [u32; 4],
        out_size: [u32; 2],
        more: [u32; 2],
        strides: [u32; 4],
    }
}

macro_rules! pack_kernel {
    ($import:literal, $name:literal, $file:literal) => {
        Kernel {
            name: $name,
            source: &[
                $import,
                include_str!("../../../shaders/convolution/pack_place.wgsl"),
                include_str!(concat!("../../../shaders/convolution/", $file, ".wgsl")),
            ],
            entry: "main",
            bindings: &[Binding::Read("x"), Binding::Write("y")],
            params: ParamsLayout::of::<PackParams>(),
            variants: &[Variant::new("", &[Item::Alias("elem", "f32")]).subgroups(8)],
            grid: |p| Grid::elements(p.get::<PackParams>().n),
            reference: pack_twin,
            bound: |_| Bound::Exact,
        }
    };
}

/// A thread a vector of the result. It runs only where the kernels do that read its copies, which need a subgroup.
pub(super) static PACK: Kernel = pack_kernel!("#import common/words\n", "conv.pack", "pack");

/// [`PACK`] of numbers of half the width.
pub(super) static PACK_HALF: Kernel = Kernel {
    name: "conv.half_pack",
    source: &["#import common/half_words\n", PACK.source[1], PACK.source[2]],
    variants: HALVES,
    ..PACK
};

/// The same for lines of neighbours, [`PACKED_TOGETHER`] vectors a thread: 2 to 2.5 times as fast, as divisions and loads
/// are shared (`cargo bench --bench layers -- conv2d`).
pub(super) static PACK_LINES: Kernel = pack_kernel!("#import common/quads\n", "conv.pack_lines", "pack_lines");

/// [`PACK_LINES`] of numbers of half the width: as fast.
pub(super) static PACK_LINES_HALF: Kernel = Kernel {
    name: "conv.half_pack_lines",
    source: &["#import common/quads_half\n", PACK_LINES.source[1], PACK_LINES.source[2]],
    variants: HALVES,
    ..PACK_LINES
};

/// [`Variant::HALVES`] beside [`super::SUBGROUP`].
const HALVES: &[Variant] = &[Variant::HALVES[0].subgroups(8), Variant::HALVES[1].subgroups(8)];

/// Vectors of a line that a thread of [`PACK_LINES`] makes. Two are a tenth slower, eight no faster.
const PACKED_TOGETHER: u32 = 4;

/// Vectors of a line that a thread of [`CROP`] takes.
const CROPPED_TOGETHER: u32 = 4;

/// A thread [`CROPPED_TOGETHER`] vectors of a line of the input. It runs only beside [`VECTORS`].
pub(super) static CROP: Kernel = Kernel {
    name: "conv.crop",
    source: &[include_str!("../../../shaders/convolution/crop.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<CropParams>(),
    variants: super::SUBGROUP,
    grid: |p| Grid::elements(p.get::<CropParams>().n),
    reference: crop_twin,
    bound: |_| Bound::Exact,
};

/// 16 channels of eight blocks of two lines by four places for a subgroup of eight, which spreads what one of its threads
/// loads.
pub(super) static VECTORS: Kernel = convolving!("conv.vectors", "vectors", super::SUBGROUP, |p| {
    let blocks = u64::from(p.batch) * u64::from(p.out_size[0].div_ceil(LINES)) * u64::from(p.out_size[1].div_ceil(4));
    Grid::groups(blocks.div_ceil(8) * u64::from(p.rows.div_ceil(16)))
});

/// 16 channels of g times eight of x for a subgroup of eight, a channel of x a thread. Masked where lines of g end within a
/// vector.
pub(super) static WEIGHT_VECTORS: Kernel = kernel!(
    "conv.weight_vectors",
    "weight_vectors",
    WeightParams,
    WEIGHT_BINDINGS,
    &[
        Variant::new("whole", &[Item::Const("MASKED", 0)]).subgroups(8),
        Variant::new("masked", &[Item::Const("MASKED", 1)]).subgroups(8),
    ],
    twins::weight_vectors,
    |p| Grid::groups(p.tiles_of_vectors() * u64::from(p.splits))
);

/// Lines that a thread of [`VECTORS`] makes.
const LINES: u32 = 2;

/// The place of vector element `i` in the memory of steps `strides`, if it exists.
fn place(i: u32, shape: [u32; 4], size: [u32; 2], origin: [i32; 2], strides: [u32; 4]) -> Option<usize> {
    let column = 4 * shape[3];
    let (v, h) = (i % column, i / column % shape[2]);
    let (plane, image) = (i / column / shape[2] % shape[1], i / column / shape[2] / shape[1]);
    let at =
        |place: u32, d: usize| u32::try_from(i64::from(place) + i64::from(origin[d])).ok().filter(|&p| p < size[d]);
    let places = [image, plane, at(h, 0)?, at(v, 1)?];
    Some(places.iter().zip(strides).map(|(&place, step)| place as usize * step as usize).sum())
}

fn pack_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &PackParams = call.params();
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for i in 0..4 * p.shape.iter().product::<u32>() {
        let at = place(i, p.shape, p.in_size, p.origin, p.strides);
        let [vectors, lines, planes] = [p.shape[3], p.shape[2], p.shape[1]];
        let j = i / 4;
        let places = [j / vectors / lines / planes, j / vectors / lines % planes, j / vectors % lines, j % vectors];
        let to: u32 = places.iter().zip(p.y_strides).map(|(&place, step)| place * step).sum();
        y[(4 * to + i % 4) as usize] = at.map_or(0.0, |at| x[p.offset as usize + at]);
    }
    Ok(())
}

fn crop_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &CropParams = call.params();
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for i in 0..4 * p.shape.iter().product::<u32>() {
        if let Some(at) = place(i, p.shape, p.out_size, [0, 0], p.strides) {
            y[p.offset as usize + at] = x[i as usize];
        }
    }
    Ok(())
}

/// The steps of a contiguous tensor.
fn steps(shape: [u32; 4]) -> [u32; 4] {
    [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1]
}

/// Images in a tensor's memory: of this size, from `origin` on.
struct Images<'a> {
    x: &'a Tensor,
    offset: u32,
    size: [u32; 2],
    origin: [i32; 2],
    strides: [u32; 4],
}

/// A copy of a shape whose lines are `shape[3]` vectors, with zeros where the images have nothing, and its steps. `order`
/// says which of images, planes and lines changes slowest in it, and so on.
fn pack(run: &mut Run<'_>, from: &Images<'_>, shape: [u32; 4], order: [usize; 3]) -> (Tensor, [u32; 4]) {
    let [a, b, c] = order.map(|d| shape[d]);
    let vectors = shape[3];
    let mut y_strides = [1; 4];
    y_strides[order[2]] = vectors;
    y_strides[order[1]] = vectors * c;
    y_strides[order[0]] = vectors * c * b;
    let y = run.output(DType::F32, &[a, b, c, 4 * vectors].map(|n| n as usize));
    let half = half_variant(from.x.dtype());
    let (kernel, together) = match (from.strides[3] == 1, half) {
        (true, None) => (&PACK_LINES, PACKED_TOGETHER),
        (true, Some(_)) => (&PACK_LINES_HALF, PACKED_TOGETHER),
        (false, None) => (&PACK, 1),
        (false, Some(_)) => (&PACK_HALF, 1),
    };
    let params = PackParams {
        n: a * b * c * vectors.div_ceil(together),
        offset: from.offset,
        spare: [0; 2],
        shape,
        origin: from.origin,
        in_size: from.size,
        strides: from.strides,
        y_strides,
    };
    run.dispatch(kernel, half.unwrap_or(0), &[from.x, &y], &params);
    let [image, plane, line, _] = y_strides;
    (y, [4 * image, 4 * plane, 4 * line, 1])
}

/// The same line of all planes lies together: what a workgroup of [`VECTORS`] reads one after the other.
const BY_LINES: [usize; 3] = [0, 2, 1];
const AS_IT_IS: [usize; 3] = [0, 1, 2];

/// Elements that a copy has at most: drivers bind no more than 128 MiB everywhere.
const MOST: u64 = 1 << 25;

/// Whether the kernels of vectors know such a convolution, and whether they pay.
fn suits(groups: u32, taps: [u32; 2], stride: [u32; 2], dilation: [i32; 2], [rows, channels]: [u32; 2]) -> bool {
    let plain = groups == 1 && taps == [3, 3] && stride == [1, 1] && dilation == [1, 1];
    plain && rows.is_multiple_of(4) && rows >= 8 && channels >= 4
}

/// Whether every four places of a line lie side by side from a multiple of four on.
fn lies_in_vectors([image, plane, line, place]: [u32; 4], offset: u32, width: u32) -> bool {
    place == 1 && [image, plane, line, offset, width].iter().all(|n| n.is_multiple_of(4))
}

/// Whether copies of so many planes of places are small enough.
fn small_enough(batch: u32, planes: u32, size: [u32; 2]) -> bool {
    u64::from(batch) * u64::from(planes) * (u64::from(size[0]) + 3) * (u64::from(size[1]) + 7) <= MOST
}

/// Whether [`VECTORS`] can run a convolution, and whether that pays.
pub(super) fn fit(p: &ConvParams) -> bool {
    suits(p.groups, p.taps, p.stride, p.dilation, [p.rows, p.channels])
        && small_enough(p.batch, p.rows.max(p.channels), p.out_size)
}

/// A convolution of whole vectors and how it lies: params and operands.
pub(super) struct Packed {
    pub params: ConvParams,
    pub x: Tensor,
    pub w: Tensor,
    /// Where the result first lies, when its lines are not whole vectors.
    pub y: Option<Tensor>,
}

/// Copies what is to be convolved.
pub(super) fn prepare(run: &mut Run<'_>, p: &ConvParams, x: &Tensor, w: &Tensor) -> Packed {
    let [height, width] = p.out_size;
    let vectors = width.div_ceil(4);
    let x_shape = [p.batch, p.channels, height.next_multiple_of(LINES) + 2, vectors + 1];
    let x = Images { x, offset: p.offsets[0], size: p.in_size, origin: p.origin, strides: p.x_strides };
    let (x, x_strides) = pack(run, &x, x_shape, BY_LINES);
    // From the first tap in memory on: a reversed kernel is packed the right way round, and read backwards.
    let [row, channel, down, across] = p.w_strides;
    let first = p.offsets[1] as i32 + 2 * down.min(0) + 2 * across.min(0);
    let strides = [channel, down.abs(), across.abs(), row].map(|step| step as u32);
    let w = Images { x: w, offset: first as u32, size: [3, p.rows], origin: [0, 0], strides };
    let (w, _) = pack(run, &w, [p.channels, 3, 3, p.rows / 4], AS_IT_IS);
    let (down, across) = (down.signum() * 3 * p.rows as i32, across.signum() * p.rows as i32);
    let mut params = ConvParams {
        in_size: [x_shape[2], 4 * x_shape[3]],
        origin: [0, 0],
        x_strides,
        w_strides: [1, 9 * p.rows as i32, down, across],
        offsets: [0, (2 * down.min(0) + 2 * across.min(0)).unsigned_abs(), p.offsets[2], p.offsets[3]],
        ..*p
    };
    let y = (!lies_in_vectors(p.y_strides, p.offsets[3], width)).then(|| {
        let shape = [p.batch, p.rows, height, 4 * vectors];
        params.out_size = [height, 4 * vectors];
        params.y_strides = steps(shape);
        params.offsets[3] = 0;
        run.output(DType::F32, &shape.map(|n| n as usize))
    });
    Packed { params, x, w, y }
}

/// Copies the result where it belongs.
pub(super) fn finish(run: &mut Run<'_>, p: &ConvParams, packed: &Tensor, y: &Tensor) {
    let shape = [p.batch, p.rows, p.out_size[0], p.out_size[1].div_ceil(4)];
    let params = CropParams {
        n: shape[..3].iter().product::<u32>() * shape[3].div_ceil(CROPPED_TOGETHER),
        offset: p.offsets[3],
        shape,
        out_size: p.out_size,
        strides: p.y_strides,
        ..bytemuck::Zeroable::zeroed()
    };
    run.dispatch(&CROP, 0, &[packed, y], &params);
}

impl WeightParams {
    /// Workgroups of a part.
    fn tiles_of_vectors(&self) -> u64 {
        u64::from(self.channels.div_ceil(8)) * u64::from(self.rows.div_ceil(16))
    }
}

/// Whether [`WEIGHT_VECTORS`] can make a gradient, and whether that pays.
pub(super) fn fits_weight(p: &WeightParams) -> bool {
    let images = p.places / (p.out_size[0] * p.out_size[1]).max(1);
    suits(p.groups, p.taps, p.stride, p.dilation, [p.rows, p.channels])
        && p.places > 0
        && small_enough(images, p.rows.max(p.channels), p.out_size)
}

/// Workgroups over which a gradient is spread, and lines that a part then has at least.
const SPREAD: (u64, u32) = (8, 16);

/// The gradient of a weight of 3×3 into the contiguous `result`, from parts that `some` of are made at a time.
pub(super) fn weight_gradient(
    run: &mut Run<'_>,
    whole: &WeightParams,
    [g, x, result]: [&Tensor; 3],
    pieces: impl Fn(&WeightParams) -> SmallVec<[WeightParams; 1]>,
) -> Result<()> {
    let [height, width] = whole.out_size;
    let (lines, vectors) = (whole.places / width, width.div_ceil(4));
    let images = lines / height;
    let x_shape = [images, whole.channels, height + 2, vectors + 1];
    let mut params = WeightParams { in_size: [x_shape[2], 4 * x_shape[3]], origin: [0, 0], ..*whole };
    let (offset, strides) = (whole.offsets[1], whole.x_strides);
    let x = Images { x, offset, size: whole.in_size, origin: whole.origin, strides };
    let (x, x_strides) = pack(run, &x, x_shape, AS_IT_IS);
    params.x_strides = x_strides;
    let g = if lies_in_vectors(whole.g_strides, whole.offsets[0], width) {
        g.clone()
    } else {
        let offset = std::mem::take(&mut params.offsets[0]);
        let g = Images { x: g, offset, size: whole.out_size, origin: [0, 0], strides: whole.g_strides };
        let (g, steps) = pack(run, &g, [images, whole.rows, height, vectors], AS_IT_IS);
        params.g_strides = steps;
        g
    };
    // Parts are whole lines.
    let least = u64::from(lines) * u64::from(vectors + 1) / MAX_ITERATIONS + 1;
    let spread = (SPREAD.0 / params.tiles_of_vectors().max(1)).min(u64::from(lines / SPREAD.1));
    let split = whole.splits.max(1).max(least.max(spread) as u32).min(lines);
    let part = lines.div_ceil(split);
    params.part = part * width;
    params.splits = lines.div_ceil(part);
    let [o, c] = [whole.rows, whole.channels].map(|n| n as usize);
    let parts = run.output(DType::F32, &[params.splits as usize, 9, c, o]);
    params.offsets = [params.offsets[0], 0, 0, 0];
    for some in pieces(&params) {
        run.dispatch(&WEIGHT_VECTORS, usize::from(!width.is_multiple_of(4)), &[&g, &x, &parts], &some);
    }
    let turned = Layout {
        shape: smallvec![params.splits as usize, o, c, 9],
        strides: smallvec![9 * c * o, 1, o, c * o],
        offset: parts.offset(),
    };
    let flat = Layout { shape: smallvec![o, c, 9], strides: smallvec![9 * c, 9, 1], offset: result.offset() };
    let (parts, result) = (parts.view_as_layout(turned), result.detach().view_as_layout(flat));
    crate::ops::reduce::sum::sum_into(run, &parts, &[0], &result)
}
