//! Matrix products: `C = A·B`, `dA = dC·Bᵀ`, `dB = Aᵀ·dC`, with batch dims broadcast and transposed operands read in place.
//!
//! <https://pytorch.org/docs/stable/generated/torch.matmul.html>

use smallvec::smallvec;

use super::tune::with_fastest;
use super::{Attrs, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::amp;
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::tuner;
use crate::engine::{Binding, Bound, Device, Grid, HostCall, Item, Kernel, Params, ParamsLayout, Variant};
use crate::tensor::shape::{Walk, broadcast, broadcast_strides, numel, strided_offset};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/matmul.wgsl`.
    pub struct MatmulParams {
        m: u32,
        n: u32,
        k: u32,
        batches: u32,
        rank: u32,
        has_bias: u32,
        padding: [u32; 2],
        offsets: [u32; 4],
        a_strides: [u32; 2],
        b_strides: [u32; 2],
        shape: [u32; 8],
        a_batch: [u32; 8],
        b_batch: [u32; 8],
    }
}

const BINDINGS: &[Binding] = &[Binding::Read("a"), Binding::Read("b"), Binding::Read("bias"), Binding::Write("c")];

/// A 64×64 tile a workgroup of 16×16 threads, panels of both operands in workgroup memory: for GPUs.
static TILED: Kernel = Kernel {
    name: "matmul.tiled",
    source: &["#import common/matmul\n", TILED_TEXT],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: Variant::ONLY,
    grid: |p| grid(p, 64, 64),
    reference: twin,
    bound: |p| bound(p),
};

/// [`TILED`] of numbers of half the width, two to a word, with sums in f32.
static TILED_HALF: Kernel = Kernel {
    name: "matmul.half_tiled",
    source: &["#import common/matmul_half\n", TILED_TEXT],
    variants: HALVES,
    grid: |p| half_grid(p, 64, 64),
    ..TILED
};

const TILED_TEXT: &str = include_str!("../../shaders/matmul_tiled.wgsl");
const REGISTERS_TEXT: &str = include_str!("../../shaders/matmul_registers.wgsl");

const HALVES: &[Variant] =
    &[Variant::new("f16", &[Item::Const("KIND", 3)]), Variant::new("bf16", &[Item::Const("KIND", 4)])];

/// A 4×8 block a thread, in registers, no workgroup memory: for software drivers, where a barrier costs more than the
/// loads that it saves.
static REGISTERS: Kernel = Kernel {
    name: "matmul.registers",
    source: &["#import common/matmul\n", REGISTERS_TEXT],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: Variant::ONLY,
    grid: |p| grid(p, 16, 64),
    reference: twin,
    bound: |p| bound(p),
};

/// [`REGISTERS`] of numbers of half the width.
static REGISTERS_HALF: Kernel = Kernel {
    name: "matmul.half_registers",
    source: &["#import common/matmul_half\n", REGISTERS_TEXT],
    variants: HALVES,
    grid: |p| half_grid(p, 16, 64),
    ..REGISTERS
};

/// 8×16 elements for a subgroup of eight, which spreads what one of its threads loads: for software drivers with such
/// subgroups, twice as fast there as those without (`cargo bench --bench engine`). Larger tiles are faster and take longer
/// to compile: where that pays, [`VECTORS`] can mostly serve.
static SUBGROUPS: Kernel = Kernel {
    name: "matmul.subgroups",
    source: &[include_str!("../../shaders/matmul_subgroups.wgsl")],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: &[Variant { label: "", items: &[], min_subgroup: 8 }],
    grid: |p| grid(p, 8, 16),
    reference: twin,
    bound: |p| bound(p),
};

/// 16×32 elements for a subgroup of eight, all operands read in vectors of four: for software drivers, where a load costs
/// much the same for four numbers as for one; over twice as fast as [`SUBGROUPS`] and no longer to compile. A variant for each
/// way that the operands lie.
static VECTORS: Kernel = Kernel {
    name: "matmul.vectors",
    source: &[include_str!("../../shaders/matmul_vectors.wgsl")],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: &[
        vectors_variant("tn", &[Item::Const("A_ALONG_K", 0), Item::Const("B_ALONG_K", 0)]),
        vectors_variant("tt", &[Item::Const("A_ALONG_K", 0), Item::Const("B_ALONG_K", 1)]),
        vectors_variant("nn", &[Item::Const("A_ALONG_K", 1), Item::Const("B_ALONG_K", 0)]),
        vectors_variant("nt", &[Item::Const("A_ALONG_K", 1), Item::Const("B_ALONG_K", 1)]),
    ],
    grid: |p| grid(p, 16, 32),
    reference: twin,
    bound: |p| bound(p),
};

const fn vectors_variant(label: &'static str, items: &'static [Item]) -> Variant {
    Variant { label, items, min_subgroup: 8 }
}

/// Rows up to which [`SUBGROUPS`] has less to do than [`VECTORS`], which makes 16 at a time.
const FEW_ROWS: u32 = 4;

/// The family of kernels that compute a matrix product, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("matmul", &["tiled", "registers", "subgroups", "vectors"]);

/// Columns of the left operand up to which the kernels (registers, tiled) run on lavapipe, which ends all loops of a
/// shader after 65,535 iterations together: one a column, and five for sixteen.
const MAX_DEPTH: (usize, usize) = (60_000, 200_000);

fn grid(params: &Params<'_>, rows: u32, columns: u32) -> Grid {
    let p: &MatmulParams = params.get();
    let tiles = u64::from(p.m.div_ceil(rows)) * u64::from(p.n.div_ceil(columns));
    let work = u64::from(p.m) * u64::from(p.n) * u64::from(p.k.max(1)) * u64::from(p.batches);
    let terms = u64::from(p.m) * u64::from(p.n) * u64::from(p.k) * u64::from(p.batches);
    Grid::groups(tiles * u64::from(p.batches)).work(work).flops(2 * terms).elements_moved(p.moved())
}

/// [`grid`] for elements of two bytes.
fn half_grid(params: &Params<'_>, rows: u32, columns: u32) -> Grid {
    let grid = grid(params, rows, columns);
    Grid { bytes: grid.bytes.map(|bytes| bytes / 2), ..grid }
}

impl MatmulParams {
    /// Elements of both operands, the bias and the result; matrices that are used for several products count once.
    fn moved(&self) -> u64 {
        let [m, n, k] = [self.m, self.n, self.k].map(u64::from);
        let matrices = |strides: &[u32; 8]| -> u64 {
            let dims = self.shape.iter().zip(strides).take(self.rank as usize);
            dims.filter(|(_, step)| **step > 0).map(|(size, _)| u64::from(*size)).product()
        };
        let bias = if self.has_bias != 0 { n } else { 0 };
        matrices(&self.a_batch) * m * k + matrices(&self.b_batch) * k * n + bias + u64::from(self.batches) * m * n
    }
}

/// Sums of products: each rounding is at most half an ulp of a partial sum, and there are k of them at worst. The
/// square root is what random rounding gives; 4 covers what was seen.
fn bound(params: &Params<'_>) -> Bound {
    Bound::Magnitude { ulps: 2.0 + 4.0 * f64::from(params.get::<MatmulParams>().k).sqrt() }
}

/// Row by row, k in order, accumulated in f64.
fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &MatmulParams = call.params();
    let (a, b, bias, mut c) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
    let (m, n, k) = (p.m as usize, p.n as usize, p.k as usize);
    let [a_row, a_col] = p.a_strides.map(|s| s as usize);
    let [b_row, b_col] = p.b_strides.map(|s| s as usize);
    let mut row = vec![0.0; n];
    for batch in 0..p.batches {
        let first_a = p.offsets[0] as usize + strided_offset(batch, p.rank, &p.shape, &p.a_batch);
        let first_b = p.offsets[1] as usize + strided_offset(batch, p.rank, &p.shape, &p.b_batch);
        for i in 0..m {
            for (j, sum) in row.iter_mut().enumerate() {
                *sum = if p.has_bias != 0 { bias[p.offsets[2] as usize + j] } else { 0.0 };
            }
            for l in 0..k {
                let x = a[first_a + i * a_row + l * a_col];
                let line = first_b + l * b_row;
                if b_col == 1 {
                    row.iter_mut().zip(&b[line..]).for_each(|(sum, y)| *sum += x * y);
                } else {
                    row.iter_mut().enumerate().for_each(|(j, sum)| *sum += x * b[line + j * b_col]);
                }
            }
            let start = p.offsets[3] as usize + (batch as usize * m + i) * n;
            c[start..start + n].copy_from_slice(&row);
        }
    }
    Ok(())
}

/// The kernel for operands of half the width, if one is to be used. One that makes f32 may serve them too, with a
/// conversion before and behind it: where a row of the result ends within a word, and on software drivers, whose vectors
/// of f32 are so much faster (512×512 on lavapipe: 7 ms, and 44 with [`REGISTERS_HALF`], by `cargo bench --bench engine`)
/// that the conversions don't count.
fn half_kernel(choice: &str, params: &MatmulParams, few_columns: bool) -> Option<&'static Kernel> {
    let whole = params.n.is_multiple_of(2) && params.offsets[3].is_multiple_of(2);
    match choice {
        "tiled" if whole => Some(&TILED_HALF),
        "registers" if whole && few_columns => Some(&REGISTERS_HALF),
        _ => None,
    }
}

/// The kernel for operands of f32, and its variant.
fn float_kernel(device: &Device, choice: &str, params: &MatmulParams, few_columns: bool) -> (&'static Kernel, usize) {
    match (choice, params.vectors_variant()) {
        ("vectors", Some(variant)) if device.has_subgroups(8) => (&VECTORS, variant),
        ("vectors" | "subgroups", _) if device.has_subgroups(8) => (&SUBGROUPS, 0),
        ("vectors" | "registers" | "subgroups", _) if few_columns => (&REGISTERS, 0),
        _ => (&TILED, 0),
    }
}

/// [`multiply`] of halves as f32.
fn multiply_wide(run: &mut Run<'_>, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<()> {
    let wide = |t: &Tensor| t.detach().try_to_dtype(DType::F32);
    let product = run.output(DType::F32, c.shape());
    multiply(run, &wide(a)?, &wide(b)?, bias.map(wide).transpose()?.as_ref(), &product)?;
    super::cast::convert(run, &product, c)
}

/// `a·b + bias` into `c`, which is contiguous. All have one type. `a` is `[…, m, k]`, `b` is `[…, k, n]`, batch dims
/// broadcast to those of `c`; `bias` is `[n]` and contiguous.
pub(crate) fn multiply(run: &mut Run<'_>, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<()> {
    with_fastest(run, FAMILY, || key(a, b, c), c, |run, c| multiply_as_chosen(run, a, b, bias, c))
}

/// What the choice of a kernel goes by: the sizes, how the operands lie, and whether they can be read in vectors.
fn key(a: &Tensor, b: &Tensor, c: &Tensor) -> tuner::Key {
    let size = |t: &Tensor, last: usize| t.shape()[t.dim() - last];
    let (m, n, k) = (size(c, 2), size(c, 1), size(a, 1));
    let lies = |t: &Tensor| u32::from(t.strides()[t.dim() - 1] == 1) + 2 * u32::from(t.strides()[t.dim() - 2] == 1);
    let whole = [m, n, k].map(|size| u32::from(size.is_multiple_of(4)));
    let batches = tuner::class(numel(&c.shape()[..c.dim() - 2]));
    let [rows, columns, depth] = [m, n, k].map(tuner::class);
    [rows, columns, depth, batches, lies(a), lies(b), whole[0] + 2 * whole[1] + 4 * whole[2], c.dtype() as u32]
}

fn multiply_as_chosen(run: &mut Run<'_>, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<()> {
    let rank = c.dim();
    let (batch, m, n) = (&c.shape()[..rank - 2], c.shape()[rank - 2], c.shape()[rank - 1]);
    let k = a.shape()[a.dim() - 1];
    let batch_strides = |t: &Tensor| {
        let outer = t.dim() - 2;
        broadcast_strides(&t.shape()[..outer], &t.strides()[..outer], batch)
    };
    let (walk, _) = Walk::new("matmul", batch, [&batch_strides(a), &batch_strides(b)], batch.len())?;
    let last_two = |t: &Tensor| [t.strides()[t.dim() - 2] as u32, t.strides()[t.dim() - 1] as u32];
    let params = MatmulParams {
        m: m as u32,
        n: n as u32,
        k: k as u32,
        batches: numel(batch) as u32,
        rank: walk.rank,
        has_bias: u32::from(bias.is_some()),
        padding: [0; 2],
        offsets: [a.offset() as u32, b.offset() as u32, bias.map_or(0, |t| t.offset() as u32), c.offset() as u32],
        a_strides: last_two(a),
        b_strides: last_two(b),
        shape: walk.shape,
        a_batch: walk.strides[0],
        b_batch: walk.strides[1],
    };
    let device = run.device();
    let software = device.adapter().is_some_and(|facts| facts.is_software());
    if software && k > MAX_DEPTH.1 {
        let detail =
            format!("{k} columns on the left: software drivers end a kernel's loops after {} of them", MAX_DEPTH.1);
        return Err(Error::Limit { op: "matmul", detail });
    }
    let usual = match software {
        true if params.m > FEW_ROWS => "vectors",
        true => "subgroups",
        false => "tiled",
    };
    let choice = device.forced_choice(FAMILY.0).unwrap_or(usual);
    let few_columns = !software || k <= MAX_DEPTH.0;
    let (kernel, variant) = if c.dtype().is_half() {
        let Some(kernel) = half_kernel(choice, &params, few_columns) else { return multiply_wide(run, a, b, bias, c) };
        (kernel, usize::from(c.dtype() == DType::BF16))
    } else {
        float_kernel(device, choice, &params, few_columns)
    };
    // Without a bias something has to be bound in its place; it is not read.
    let operands = [a, b, bias.unwrap_or(a), c];
    for part in row_parts(&params, device.adapter().map(|facts| facts.max_work())) {
        run.dispatch(kernel, variant, &operands, &part);
    }
    Ok(())
}

impl MatmulParams {
    /// The variant of [`VECTORS`] for these operands, when everything that it reads or writes at a time lies side by side
    /// from a multiple of four on.
    fn vectors_variant(&self) -> Option<usize> {
        let whole = |n: &u32| n.is_multiple_of(4);
        let sizes = [self.n, self.k];
        if !sizes.iter().chain(&self.offsets).chain(&self.a_batch).chain(&self.b_batch).all(whole) {
            return None;
        }
        let a = match self.a_strides {
            [row, 1] if whole(&row) => 1,
            [1, column] if whole(&column) && whole(&self.m) => 0,
            _ => return None,
        };
        let b = match self.b_strides {
            [row, 1] if whole(&row) => 0,
            [1, column] if whole(&column) => 1,
            _ => return None,
        };
        Some(2 * a + b)
    }
}

/// A product in parts of its rows, none of which runs so long that a driver could end it.
fn row_parts(params: &MatmulParams, max_work: Option<u64>) -> Vec<MatmulParams> {
    let row = u64::from(params.n) * u64::from(params.k.max(1));
    let most = max_work.map_or(u64::MAX, |work| (work / row.max(1)).max(64) / 64 * 64);
    if params.batches != 1 || u64::from(params.m) <= most {
        return vec![*params];
    }
    let starts = (0..params.m).step_by(most as usize);
    let part = |first: u32| {
        let mut part = MatmulParams { m: (params.m - first).min(most as u32), ..*params };
        part.offsets[0] += first * params.a_strides[0];
        part.offsets[3] += first * params.n;
        part
    };
    starts.map(part).collect()
}

/// A view with the last two dims exchanged.
pub(crate) fn transposed(t: &Tensor) -> Tensor {
    let (mut shape, mut strides): (Shape, Shape) = (t.shape().into(), t.strides().into());
    let rank = shape.len();
    shape.swap(rank - 2, rank - 1);
    strides.swap(rank - 2, rank - 1);
    t.view_as_layout(Layout { shape, strides, offset: t.offset() })
}

/// The operation `matmul`, of operands with at least two dims; the method brings others to that form.
pub(crate) static MATMUL: Operation = Operation { name: "matmul", kernels: KERNELS, forward, vjp: Some(vjp), cases };

const KERNELS: &[&Kernel] = &[&TILED, &REGISTERS, &SUBGROUPS, &VECTORS, &TILED_HALF, &REGISTERS_HALF];

fn forward(call: &mut super::Call<'_>) -> Result<Outputs> {
    let (a, b) = (call.input(0), call.input(1));
    check_floats(call.op(), &[a, b])?;
    let shape = product_shape(a.shape(), b.shape())?;
    let c = call.output(a.dtype(), &shape);
    multiply(call, a, b, None, &c)?;
    call.save(a);
    call.save(b);
    Ok(smallvec![c])
}

fn product_shape(a: &[usize], b: &[usize]) -> Result<Shape> {
    let ([outer_a @ .., m, k], [outer_b @ .., l, n]) = (a, b) else {
        return Err(Error::shape("matmul", format!("operands of shapes {a:?} and {b:?} need at least 2 dims here")));
    };
    if k != l {
        let detail = format!("shapes {a:?} and {b:?} do not fit: {k} columns on the left, {l} rows on the right");
        return Err(Error::shape("matmul", detail));
    }
    let mut shape = broadcast("matmul", outer_a, outer_b)?;
    shape.extend([*m, *n]);
    Ok(shape)
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (g, a, b) = (v.gradient(), v.saved(0), v.saved(1));
    let da = if v.needs(0) { Some(gradient(v, 0, g, &transposed(&b))?) } else { None };
    let db = if v.needs(1) { Some(gradient(v, 1, &transposed(&a), g)?) } else { None };
    Ok(smallvec![da, db])
}

/// One operand's gradient, over the broadcast batch.
fn gradient(v: &mut Vjp<'_>, i: usize, left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let shape = product_shape(left.shape(), right.shape())?;
    let d = if v.input_shape(i) == shape.as_slice() { v.gradient_output(i) } else { v.output(left.dtype(), &shape) };
    multiply(v, left, right, None, &d)?;
    Ok(d)
}

pub(crate) fn check_floats(op: &'static str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().find(|t| !t.dtype().is_float()) {
        Some(t) => {
            Err(Error::dtype(op, format!("takes floats, not {}; convert with `.to_dtype(DType::F32)`", t.dtype())))
        }
        None => Ok(()),
    }
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let pair = |name: &str, a: &[usize], b: &[usize]| Case::new(name, vec![Input::floats(a), Input::floats(b)]);
    let halves = |name: &str, dtype: DType, a: &[usize], b: &[usize]| {
        Case::new(name, vec![Input::floats(a).dtype(dtype), Input::floats(b).dtype(dtype)]).no_gradcheck()
    };
    let large = |shape: &[usize]| Input::floats(shape).fill(cases::Fill::Away(100.0, 300.0)).dtype(DType::F16);
    vec![
        pair("square", &[4, 4], &[4, 4]),
        pair("odd", &[3, 5], &[5, 7]),
        pair("one", &[1, 1], &[1, 1]),
        pair("row", &[1, 9], &[9, 4]),
        pair("column", &[5, 3], &[3, 1]),
        pair("no k", &[3, 0], &[0, 4]),
        pair("no k in a batch", &[2, 3, 0], &[2, 0, 4]),
        pair("no rows", &[0, 3], &[3, 4]),
        pair("batch", &[2, 3, 4], &[2, 4, 5]),
        pair("broadcast batch", &[2, 1, 3, 4], &[3, 4, 2]),
        pair("deep", &[2, 3000], &[3000, 2]).no_gradcheck(),
        pair("deeper than lavapipe's loops", &[1, 70_001], &[70_001, 1]).no_gradcheck(),
        pair("tile edges", &[65, 33], &[33, 66]).no_gradcheck(),
        pair("several tiles", &[130, 70], &[70, 129]).no_gradcheck(),
        pair("vectors", &[36, 12], &[12, 44]).no_gradcheck(),
        pair("vectors of a batch", &[3, 1, 20, 8], &[2, 8, 4]).no_gradcheck(),
        pair("vectors, a row more", &[17, 4], &[4, 36]).no_gradcheck(),
        Case::new(
            "vectors, both transposed",
            vec![
                Input::floats(&[20, 8]).arranged(Arrangement::Transposed),
                Input::floats(&[8, 36]).arranged(Arrangement::Transposed),
            ],
        )
        .no_gradcheck(),
        Case::new(
            "transposed left",
            vec![Input::floats(&[5, 3]).arranged(Arrangement::Transposed), Input::floats(&[3, 4])],
        ),
        Case::new(
            "transposed right",
            vec![Input::floats(&[5, 3]), Input::floats(&[3, 70]).arranged(Arrangement::Transposed)],
        ),
        Case::new(
            "strided",
            vec![
                Input::floats(&[3, 4]).arranged(Arrangement::Strided),
                Input::floats(&[4, 3]).arranged(Arrangement::Strided),
            ],
        ),
        Case::new(
            "expanded",
            vec![
                Input::floats(&[3, 4]).arranged(Arrangement::Expanded),
                Input::floats(&[4, 3]).arranged(Arrangement::Expanded),
            ],
        ),
        halves("f16", DType::F16, &[5, 7], &[7, 4]),
        halves("bf16", DType::BF16, &[5, 7], &[7, 4]),
        halves("f16 of an odd width", DType::F16, &[5, 4], &[4, 7]),
        halves("bf16 of an odd width", DType::BF16, &[1, 3], &[3, 1]),
        halves("f16 of a batch", DType::F16, &[2, 1, 3, 4], &[3, 4, 2]),
        halves("bf16 tile edges", DType::BF16, &[65, 33], &[33, 66]),
        halves("f16 several tiles", DType::F16, &[130, 70], &[70, 130]),
        Case::new(
            "f16, both transposed",
            vec![
                Input::floats(&[20, 8]).dtype(DType::F16).arranged(Arrangement::Transposed),
                Input::floats(&[8, 36]).dtype(DType::F16).arranged(Arrangement::Transposed),
            ],
        )
        .no_gradcheck(),
        Case::new(
            "bf16, strided",
            vec![
                Input::floats(&[3, 5]).dtype(DType::BF16).arranged(Arrangement::Strided),
                Input::floats(&[5, 6]).dtype(DType::BF16).arranged(Arrangement::Strided),
            ],
        )
        .no_gradcheck(),
        Case::new("f16 beyond its range", vec![large(&[3, 4]), large(&[4, 2])]).no_gradcheck(),
        Case::new("two types", vec![Input::floats(&[2, 2]), Input::floats(&[2, 2]).dtype(DType::F16)]).fails(),
        pair("inner dims", &[2, 3], &[4, 2]).fails(),
        pair("batches", &[2, 3, 4], &[3, 4, 2]).fails(),
        Case::new("integers", vec![Input::ints(&[2, 2], 0, 3), Input::ints(&[2, 2], 0, 3)]).fails(),
    ]
}

methods! {
    /// The matrix product: of two vectors their dot product, of a matrix and a vector a vector, of anything larger
    /// products of matrices with the outer dims broadcast.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// let x = Tensor::from_slice(&[1.0f32, 1.0], &[2]);
    /// assert_eq!(a.matmul(&x).to_vec::<f32>()?, [3.0, 7.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn matmul / try_matmul (&self, other: &Tensor) -> Tensor {
        if self.dim() == 0 || other.dim() == 0 {
            let detail = format!("shapes {:?} and {:?}: both need at least one dim", self.shape(), other.shape());
            return Err(Error::shape("matmul", detail));
        }
        let left = if self.dim() == 1 { self.try_unsqueeze(0)? } else { self.clone() };
        let right = if other.dim() == 1 { other.try_unsqueeze(1)? } else { other.clone() };
        let mut c = single(apply(&MATMUL, &[&left, &right], Attrs::new()))?;
        if other.dim() == 1 {
            c = c.try_squeeze_dim(-1)?;
        }
        if self.dim() == 1 {
            c = c.try_squeeze_dim(if other.dim() == 1 { -1 } else { -2 })?;
        }
        Ok(c)
    }

    /// The batched matrix product of two 3-d tensors, without broadcasting.
    pub fn bmm / try_bmm (&self, other: &Tensor) -> Tensor {
        if self.dim() != 3 || other.dim() != 3 || self.shape()[0] != other.shape()[0] {
            let detail = format!("needs two 3-d tensors of equal batch, got {:?} and {:?}", self.shape(), other.shape());
            return Err(Error::shape("bmm", detail));
        }
        single(apply(&MATMUL, &[self, other], Attrs::new()))
    }

    /// `beta·self + alpha·(left·right)` of two matrices; `self` is broadcast to the product's shape. With a `beta` of 0
    /// `self` is not looked at, so that NaN in it does not pass on.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.addmm.html>
    pub fn addmm / try_addmm (&self, left: &Tensor, right: &Tensor, beta: f64, alpha: f64) -> Tensor {
        if left.dim() != 2 || right.dim() != 2 {
            let detail = format!("needs two matrices, got shapes {:?} and {:?}", left.shape(), right.shape());
            return Err(Error::shape("addmm", detail));
        }
        let product = left.try_matmul(right)?;
        let own = amp::half(self)?.try_expand(product.shape())?;
        let product = if alpha == 1.0 { product } else { product.try_mul_scalar(alpha)? };
        match beta {
            0.0 => Ok(product),
            1.0 => own.try_add(&product),
            _ => own.try_mul_scalar(beta)?.try_add(&product),
        }
    }

    /// Every element of one vector times every element of another: `self` along the rows.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.outer(&x).to_vec::<f32>()?, [1.0, 2.0, 2.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn outer / try_outer (&self, other: &Tensor) -> Tensor {
        if self.dim() != 1 || other.dim() != 1 {
            let detail = format!("needs two vectors, got shapes {:?} and {:?}", self.shape(), other.shape());
            return Err(Error::shape("outer", detail));
        }
        self.try_unsqueeze(1)?.try_mul(other)
    }
}

#[cfg(test)]
mod tests {
    use super::{MatmulParams, row_parts};
    use crate::engine::Device;
    use crate::tensor::Tensor;

    #[test]
    fn a_long_product_is_run_in_parts_of_its_rows() {
        let whole = MatmulParams {
            m: 1000,
            n: 100,
            k: 10,
            batches: 1,
            a_strides: [10, 1],
            offsets: [7, 0, 0, 5],
            ..bytemuck::Zeroable::zeroed()
        };
        assert_eq!(row_parts(&whole, None).len(), 1);
        let parts = row_parts(&whole, Some(300_000));
        let rows: Vec<u32> = parts.iter().map(|p| p.m).collect();
        assert_eq!(rows, [256, 256, 256, 232]);
        assert_eq!(parts[3].offsets, [7 + 768 * 10, 0, 0, 5 + 768 * 100]);
    }

    #[test]
    fn the_right_operand_may_be_one_column_repeated() {
        let device = Device::reference();
        let a = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2], &device);
        let b = Tensor::from_slice_on(&[1.0f32, 10.0], &[2, 1], &device).expand([2, 3]);
        assert_eq!(a.matmul(&b).to_vec::<f32>().unwrap(), [21.0, 21.0, 21.0, 43.0, 43.0, 43.0]);
    }
}
