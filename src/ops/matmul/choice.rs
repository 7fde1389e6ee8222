//! Which kernel makes a matrix product.

use super::kernels::{
    COOPERATIVE, COOPERATIVE_8, LARGE, MatmulParams, REGISTERS, REGISTERS_HALF, SPLIT, SUBGROUPS, TILED, TILED_HALF,
    VECTORS,
};
use crate::dtype::DType;
use crate::engine::{AdapterFacts, AdapterKind, Device, Kernel, tuner};
use crate::ops::tune::with_fastest;
use crate::ops::{Run, cast};
use crate::tensor::Tensor;
use crate::tensor::shape::{Walk, broadcast_strides, numel};
use crate::{Error, Result};

/// Rows up to which [`SUBGROUPS`] has less to do than [`VECTORS`], which makes 16 at a time.
const FEW_ROWS: u32 = 4;

/// The family of kernels that compute a matrix product, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) =
    ("matmul", &["tiled", "large", "split", "registers", "subgroups", "vectors", "cooperative"]);

/// Tiles of 64×64 up to which a GPU has processors to spare, the fewest columns of the left operand that are then worth a
/// second dispatch, and the fewest of a part of them.
const FEW_TILES: u64 = 32;
const DEEP: u32 = 1024;
const SHALLOW: u32 = 16;

/// Tiles of 128×128 from which on every processor of a large GPU has one.
const MANY_TILES: u64 = 128;

/// Columns of the left operand up to which the kernels (registers, and tiled or large) run on lavapipe, which ends all loops of a
/// shader after 65,535 iterations together: one a column, and five for sixteen.
const MAX_DEPTH: (usize, usize) = (60_000, 200_000);

/// The kernel for operands of half the width and its variant, if one is to be used. One that makes f32 may serve them too,
/// with a conversion before and behind it: where a row of the result ends within a word, and on software drivers, whose
/// vectors of f32 are so much faster (512×512 on lavapipe: 7 ms, and 44 with [`REGISTERS_HALF`], by
/// `cargo bench --bench engine`) that the conversions don't count.
fn half_kernel(
    device: &Device,
    dtype: DType,
    choice: &str,
    params: &MatmulParams,
    few_columns: bool,
) -> Option<(&'static Kernel, usize)> {
    if choice == "cooperative" && dtype == DType::F16 {
        let matrices =
            [(16, &COOPERATIVE), (8, &COOPERATIVE_8)].into_iter().find(|(rows, _)| device.has_matrices(*rows));
        if let (Some((_, kernel)), Some(variant)) = (matrices, params.lie(8)) {
            return Some((kernel, variant));
        }
    }
    let whole = params.n.is_multiple_of(2) && params.offsets[3].is_multiple_of(2);
    let variant = usize::from(dtype == DType::BF16);
    match choice {
        "tiled" | "large" | "split" | "cooperative" if whole => Some((&TILED_HALF, variant)),
        "registers" if whole && few_columns => Some((&REGISTERS_HALF, variant)),
        _ => None,
    }
}

/// The kernel for operands of f32, and its variant.
fn float_kernel(device: &Device, choice: &str, params: &MatmulParams, few_columns: bool) -> (&'static Kernel, usize) {
    match (choice, params.lie(4)) {
        ("large", Some(variant)) => (&LARGE, variant),
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
    cast::convert(run, &product, c)
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
    let width = if c.dtype().is_half() { 8 } else { 4 };
    let whole = [m, n, k].map(|size| u32::from(size.is_multiple_of(width)));
    let batches = tuner::class(numel(&c.shape()[..c.dim() - 2]));
    let [rows, columns, depth] = [m, n, k].map(tuner::class);
    [rows, columns, depth, batches, lies(a), lies(b), whole[0] + 2 * whole[1] + 4 * whole[2], c.dtype() as u32]
}

fn multiply_as_chosen(run: &mut Run<'_>, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<()> {
    let params = params(a, b, bias, c)?;
    let device = run.device();
    let facts = device.adapter();
    let software = facts.is_some_and(AdapterFacts::is_software);
    if software && params.k as usize > MAX_DEPTH.1 {
        let detail = format!(
            "{} columns on the left: software drivers end a kernel's loops after {} of them",
            params.k, MAX_DEPTH.1
        );
        return Err(Error::Limit { op: "matmul", detail });
    }
    let choice = device.forced_choice(FAMILY.0).unwrap_or_else(|| usual(facts, c.dtype(), &params));
    let few_columns = !software || params.k as usize <= MAX_DEPTH.0;
    let parts = row_parts(&params, facts.map(AdapterFacts::max_work));
    if let ("split", DType::F32, true, [_], Some(count)) =
        (choice, c.dtype(), few_columns, &parts[..], params.parts_of_k())
    {
        return multiply_split(run, &params, count, [a, b, bias.unwrap_or(a), c]);
    }
    let found = match c.dtype().is_half() {
        true => half_kernel(device, c.dtype(), choice, &params, few_columns),
        false => Some(float_kernel(device, choice, &params, few_columns)),
    };
    let Some((kernel, variant)) = found else { return multiply_wide(run, a, b, bias, c) };
    // Without a bias something has to be bound in its place; it is not read.
    let operands = [a, b, bias.unwrap_or(a), c];
    for part in parts {
        run.dispatch(kernel, variant, &operands, &part);
    }
    Ok(())
}

fn params(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<MatmulParams> {
    let rank = c.dim();
    let batch = &c.shape()[..rank - 2];
    let batch_strides = |t: &Tensor| {
        let outer = t.dim() - 2;
        broadcast_strides(&t.shape()[..outer], &t.strides()[..outer], batch)
    };
    let (walk, _) = Walk::new("matmul", batch, [&batch_strides(a), &batch_strides(b)], batch.len())?;
    let last_two = |t: &Tensor| [t.strides()[t.dim() - 2] as u32, t.strides()[t.dim() - 1] as u32];
    Ok(MatmulParams {
        m: c.shape()[rank - 2] as u32,
        n: c.shape()[rank - 1] as u32,
        k: a.shape()[a.dim() - 1] as u32,
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
    })
}

/// The choice where none was made: by the device's kind and the sizes. What is said of GPUs is from what their makers and
/// others found to pay; [`crate::Device::set_autotune`] measures.
fn usual(facts: Option<&AdapterFacts>, dtype: DType, params: &MatmulParams) -> &'static str {
    match facts {
        None => "tiled",
        Some(facts) if facts.is_software() && params.m > FEW_ROWS => "vectors",
        Some(facts) if facts.is_software() => "subgroups",
        Some(_) if dtype.is_half() => "tiled",
        Some(_) if params.tiles(64) <= FEW_TILES && params.k >= DEEP => "split",
        Some(facts) if facts.kind == AdapterKind::Discrete && params.tiles(128) >= MANY_TILES => "large",
        Some(_) => "tiled",
    }
}

/// A product as the sum of products of `count` parts of k, which are a batch: their tiles keep a GPU busy where those of
/// the whole are few.
fn multiply_split(run: &mut Run<'_>, whole: &MatmulParams, count: u32, [a, b, bias, c]: [&Tensor; 4]) -> Result<()> {
    let products = run.output(DType::F32, &[count as usize, whole.m as usize, whole.n as usize]);
    let mut part = MatmulParams { k: whole.k / count, batches: count, rank: 1, has_bias: 0, ..*whole };
    part.offsets[2..].fill(0);
    part.shape[0] = count;
    part.a_batch[0] = part.k * whole.a_strides[1];
    part.b_batch[0] = part.k * whole.b_strides[0];
    let device = run.device();
    let software = device.adapter().is_some_and(AdapterFacts::is_software);
    let (kernel, variant) = float_kernel(device, if software { "vectors" } else { "tiled" }, &part, true);
    run.dispatch(kernel, variant, &[a, b, a, &products], &part);
    run.dispatch(&SPLIT, 0, &[&products, bias, c], &MatmulParams { batches: count, ..*whole });
    Ok(())
}

impl MatmulParams {
    /// Tiles of this many rows and columns.
    fn tiles(&self, size: u32) -> u64 {
        u64::from(self.m.div_ceil(size)) * u64::from(self.n.div_ceil(size)) * u64::from(self.batches)
    }

    /// How many equal parts k is split into, if it can be: so many that there are enough tiles, none of them shallow, and
    /// in whole vectors where k is.
    fn parts_of_k(&self) -> Option<u32> {
        if self.batches != 1 || !(1..=FEW_TILES).contains(&self.tiles(64)) {
            return None;
        }
        let wanted = (FEW_TILES * 2 / self.tiles(64)).clamp(2, 16) as u32;
        let whole = if self.k.is_multiple_of(4) { 4 } else { 1 };
        (2..=wanted).rev().find(|count| self.k.is_multiple_of(count * whole) && self.k / count >= SHALLOW)
    }

    /// How the operands lie (the number of a variant of [`VECTORS`]), when all that a kernel reads or writes `width` at a
    /// time lies side by side from a multiple of it on.
    fn lie(&self, width: u32) -> Option<usize> {
        let whole = |n: &u32| n.is_multiple_of(width);
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

#[cfg(test)]
mod tests {
    use super::{MatmulParams, row_parts, usual};
    use crate::dtype::DType;
    use crate::engine::{AdapterFacts, AdapterKind, AdapterLimits};

    #[test]
    fn a_gpu_gets_the_kernel_for_the_sizes() {
        let limits = AdapterLimits {
            storage_buffers: 8,
            binding_bytes: 1 << 27,
            workgroup_bytes: 16 << 10,
            workgroup_threads: 256,
        };
        let facts = |kind| AdapterFacts {
            name: "a GPU".into(),
            driver: String::new(),
            backend: "Vulkan".into(),
            kind,
            subgroup: (32, 32),
            matrices: vec![16],
            features: Vec::new(),
            limits,
        };
        let (card, small) = (facts(AdapterKind::Discrete), facts(AdapterKind::Integrated));
        let chosen = |facts: &AdapterFacts, dtype, [m, n, k]: [u32; 3]| {
            usual(Some(facts), dtype, &MatmulParams { m, n, k, batches: 1, ..bytemuck::Zeroable::zeroed() })
        };
        assert_eq!(chosen(&card, DType::F32, [4096, 4096, 4096]), "large");
        assert_eq!(chosen(&small, DType::F32, [4096, 4096, 4096]), "tiled");
        assert_eq!(chosen(&card, DType::F32, [512, 784, 64]), "tiled");
        assert_eq!(chosen(&card, DType::F32, [10, 256, 8192]), "split");
        assert_eq!(chosen(&small, DType::F32, [10, 256, 8192]), "split");
        assert_eq!(chosen(&card, DType::F16, [10, 256, 8192]), "tiled");
        assert_eq!(usual(None, DType::F32, &bytemuck::Zeroable::zeroed()), "tiled");
    }

    #[test]
    fn k_is_split_into_equal_parts_that_are_not_shallow() {
        let parts = |m, n, k| MatmulParams { m, n, k, batches: 1, ..bytemuck::Zeroable::zeroed() }.parts_of_k();
        assert_eq!(parts(10, 256, 8192), Some(16));
        assert_eq!(parts(10, 256, 8200), Some(10), "parts of whole vectors");
        assert_eq!(parts(10, 256, 34), Some(2));
        assert_eq!(parts(10, 256, 30), None, "15 are too few");
        assert_eq!(parts(10, 256, 8191), None, "a prime");
        assert_eq!(parts(0, 256, 8192), None);
    }

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
}
