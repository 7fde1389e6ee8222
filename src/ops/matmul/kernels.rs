//! The kernels of a matrix product, which compute the same in ways that suit different devices.

use crate::Result;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, Params, ParamsLayout, Variant};
use crate::tensor::shape::strided_offset;

params! {
    /// Twin of `Params` in `shaders/common/matmul_params.wgsl`.
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
pub(super) static TILED: Kernel = Kernel {
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
pub(super) static TILED_HALF: Kernel = Kernel {
    name: "matmul.half_tiled",
    source: &["#import common/matmul_half\n", TILED_TEXT],
    variants: Variant::HALVES,
    grid: |p| grid(p, 64, 64).of_halves(),
    ..TILED
};

const TILED_TEXT: &str = include_str!("../../../shaders/matmul/tiled.wgsl");
const REGISTERS_TEXT: &str = include_str!("../../../shaders/matmul/registers.wgsl");

/// A 4×8 block a thread, in registers, no workgroup memory: for software drivers, where a barrier costs more than the
/// loads that it saves.
pub(super) static REGISTERS: Kernel = Kernel {
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
pub(super) static REGISTERS_HALF: Kernel = Kernel {
    name: "matmul.half_registers",
    source: &["#import common/matmul_half\n", REGISTERS_TEXT],
    variants: Variant::HALVES,
    grid: |p| grid(p, 16, 64).of_halves(),
    ..REGISTERS
};

/// 8×16 elements for a subgroup of eight, which spreads what one of its threads loads: for software drivers with such
/// subgroups, twice as fast there as those without (`cargo bench --bench engine`). Larger tiles are faster and take longer
/// to compile: where that pays, [`VECTORS`] can mostly serve.
pub(super) static SUBGROUPS: Kernel = Kernel {
    name: "matmul.subgroups",
    source: &[include_str!("../../../shaders/matmul/subgroups.wgsl")],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: &[Variant::new("", &[]).subgroups(8)],
    grid: |p| grid(p, 8, 16),
    reference: twin,
    bound: |p| bound(p),
};

/// 16×32 elements for a subgroup of eight, all operands read in vectors of four: for software drivers, where a load costs
/// much the same for four numbers as for one; over twice as fast as [`SUBGROUPS`] and no longer to compile. A variant for each
/// way that the operands lie.
pub(super) static VECTORS: Kernel = Kernel {
    name: "matmul.vectors",
    source: &[include_str!("../../../shaders/matmul/vectors.wgsl")],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    // As `MatmulParams::lie` numbers them.
    variants: &[
        Variant::new("tn", TN).subgroups(8),
        Variant::new("tt", TT).subgroups(8),
        Variant::new("nn", NN).subgroups(8),
        Variant::new("nt", NT).subgroups(8),
    ],
    grid: |p| grid(p, 16, 32),
    reference: twin,
    bound: |p| bound(p),
};

const TN: &[Item] = &[Item::Const("A_ALONG_K", 0), Item::Const("B_ALONG_K", 0)];
const TT: &[Item] = &[Item::Const("A_ALONG_K", 0), Item::Const("B_ALONG_K", 1)];
const NN: &[Item] = &[Item::Const("A_ALONG_K", 1), Item::Const("B_ALONG_K", 0)];
const NT: &[Item] = &[Item::Const("A_ALONG_K", 1), Item::Const("B_ALONG_K", 1)];

/// A 128×128 tile a workgroup, 8×8 elements a thread, all operands read in vectors of four: for large matrices on GPUs.
pub(super) static LARGE: Kernel = Kernel {
    name: "matmul.large",
    source: &[include_str!("../../../shaders/matmul/large.wgsl")],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: &[Variant::new("tn", TN), Variant::new("tt", TT), Variant::new("nn", NN), Variant::new("nt", NT)],
    grid: |p| grid(p, 128, 128),
    reference: twin,
    bound: |p| bound(p),
};

/// The sum of `batches` products, each of a part of k: behind a product that was split because it has few tiles.
pub(super) static SPLIT: Kernel = Kernel {
    name: "matmul.split",
    source: &[include_str!("../../../shaders/matmul/split.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("products"), Binding::Read("bias"), Binding::Write("c")],
    params: ParamsLayout::of::<MatmulParams>(),
    variants: Variant::ONLY,
    grid: |p| {
        let p: &MatmulParams = p.get();
        let (elements, parts) = (u64::from(p.m * p.n), u64::from(p.batches));
        Grid::elements(p.m * p.n).work(elements * parts).elements_moved(elements * (parts + 1))
    },
    reference: |call| {
        let p: &MatmulParams = call.params();
        let (products, bias, mut c) = (call.floats(0), call.floats(1), call.floats_mut(2));
        let elements = (p.m * p.n) as usize;
        for i in 0..elements {
            let sum: f64 = (0..p.batches as usize).map(|part| products[part * elements + i]).sum();
            let own = if p.has_bias != 0 { bias[p.offsets[2] as usize + i % p.n as usize] } else { 0.0 };
            c[p.offsets[3] as usize + i] = sum + own;
        }
        Ok(())
    },
    // A rounding for each part and one for the bias.
    bound: |p| Bound::Magnitude { ulps: 1.0 + f64::from(p.get::<MatmulParams>().batches) },
};

/// f16 by the matrix units of a GPU (cooperative matrices), sums in f32: four blocks of 2×2 matrices a workgroup, one for
/// each of four subgroups of 32 threads. With wider or narrower subgroups it computes the same, with less of them at work.
/// A variant for each way that the operands lie, eight numbers of which are read at a time.
///
/// Not the usual choice anywhere: only a software driver has run it, and naga 30 writes its modules for Vulkan's memory model
/// without saying which accesses other threads see (gfx-rs/wgpu#8805), so a driver could move them over barriers. Autotune,
/// which compares what it chooses with the usual kernel, may take it.
pub(super) static COOPERATIVE_8: Kernel = Kernel {
    name: "matmul.cooperative_8",
    source: &["const THREADS: u32 = 128u;\n", COOPERATIVE_TEXT],
    entry: "main",
    bindings: BINDINGS,
    params: ParamsLayout::of::<MatmulParams>(),
    variants: &[
        Variant::new("tn", TN).subgroups(1).matrices(8),
        Variant::new("tt", TT).subgroups(1).matrices(8),
        Variant::new("nn", NN).subgroups(1).matrices(8),
        Variant::new("nt", NT).subgroups(1).matrices(8),
    ],
    grid: |p| grid(p, 32, 32).of_halves(),
    reference: twin,
    bound: |p| bound(p),
};

/// [`COOPERATIVE_8`] with matrices of 16 rows.
pub(super) static COOPERATIVE: Kernel = Kernel {
    name: "matmul.cooperative",
    variants: &[
        Variant::new("tn", TN).subgroups(1).matrices(16),
        Variant::new("tt", TT).subgroups(1).matrices(16),
        Variant::new("nn", NN).subgroups(1).matrices(16),
        Variant::new("nt", NT).subgroups(1).matrices(16),
    ],
    grid: |p| grid(p, 64, 64).of_halves(),
    ..COOPERATIVE_8
};

const COOPERATIVE_TEXT: &str = include_str!("../../../shaders/matmul/cooperative.wgsl");

fn grid(params: &Params<'_>, rows: u32, columns: u32) -> Grid {
    let p: &MatmulParams = params.get();
    let tiles = u64::from(p.m.div_ceil(rows)) * u64::from(p.n.div_ceil(columns));
    let work = u64::from(p.m) * u64::from(p.n) * u64::from(p.k.max(1)) * u64::from(p.batches);
    let terms = u64::from(p.m) * u64::from(p.n) * u64::from(p.k) * u64::from(p.batches);
    Grid::groups(tiles * u64::from(p.batches)).work(work).flops(2 * terms).elements_moved(p.moved())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::dtype::DType;
    use crate::ops::Run;
    use crate::tensor::Tensor;

    static ONE_SUBGROUP: Kernel = Kernel { source: &["const THREADS: u32 = 8u;\n", COOPERATIVE_TEXT], ..COOPERATIVE_8 };
    static TWO_SUBGROUPS: Kernel =
        Kernel { source: &["const THREADS: u32 = 16u;\n", COOPERATIVE_TEXT], ..COOPERATIVE_8 };
    static FOUR_SUBGROUPS: Kernel =
        Kernel { source: &["const THREADS: u32 = 32u;\n", COOPERATIVE_TEXT], ..COOPERATIVE_8 };

    /// The workgroup shares its blocks out at run time: to fewer subgroups than blocks (a GPU whose subgroups are wide), as
    /// many, or more. The counts are those of subgroups of eight.
    #[test]
    fn any_number_of_subgroups_makes_the_tile() {
        let suits =
            |device: &Device| device.has_matrices(8) && device.adapter().is_some_and(|facts| facts.subgroup == (8, 8));
        let gpu = Device::gpu().ok().filter(suits);
        if gpu.is_none() {
            eprintln!("no GPU with subgroups of eight and matrices: the kernel runs on the sanitizer alone");
        }
        for device in gpu.into_iter().chain([Device::sanitizer_with(8)]) {
            make_the_tile(&device);
        }
    }

    fn make_the_tile(device: &Device) {
        let (m, n, k) = (41, 40, 72);
        // Whole numbers so small that every sum is exact.
        let numbers = |len: usize, step: usize| (0..len).map(|i| (i * step % 7) as f32 - 3.0).collect::<Vec<_>>();
        let (a, b) = (numbers(m * k, 5), numbers(k * n, 3));
        let want: Vec<f32> = (0..m * n).map(|i| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum()).collect();
        let halves =
            |values: &[f32], shape: &[usize]| Tensor::from_slice_on(values, shape, device).to_dtype(DType::F16);
        let (a, b) = (halves(&a, &[m, k]), halves(&b, &[k, n]));
        let params = MatmulParams {
            m: m as u32,
            n: n as u32,
            k: k as u32,
            batches: 1,
            a_strides: [k as u32, 1],
            b_strides: [n as u32, 1],
            ..bytemuck::Zeroable::zeroed()
        };
        for kernel in [&ONE_SUBGROUP, &TWO_SUBGROUPS, &FOUR_SUBGROUPS, &COOPERATIVE_8] {
            let mut run = Run::new(device);
            let c = run.output(DType::F16, &[m, n]);
            run.dispatch(kernel, 2, &[&a, &b, &a, &c], &params);
            assert_eq!(c.to_dtype(DType::F32).to_vec::<f32>().unwrap(), want, "{}", kernel.source[0]);
        }
    }
}
