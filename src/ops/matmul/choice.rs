//! Which kernel makes a matrix product.

use super::kernels::{
    COOPERATIVE, COOPERATIVE_8, MatmulParams, REGISTERS, REGISTERS_HALF, SUBGROUPS, TILED, TILED_HALF, VECTORS,
};
use crate::dtype::DType;
use crate::engine::{Device, Kernel, tuner};
use crate::ops::tune::with_fastest;
use crate::ops::{Run, cast};
use crate::tensor::Tensor;
use crate::tensor::shape::{Walk, broadcast_strides, numel};
use crate::{Error, Result};

/// Rows up to which [`SUBGROUPS`] has less to do than [`VECTORS`], which makes 16 at a time.
const FEW_ROWS: u32 = 4;

/// The family of kernels that compute a matrix product, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("matmul", &["tiled", "registers", "subgroups", "vectors", "cooperative"]);

/// Columns of the left operand up to which the kernels (registers, tiled) run on lavapipe, which ends all loops of a
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
        "tiled" | "cooperative" if whole => Some((&TILED_HALF, variant)),
        "registers" if whole && few_columns => Some((&REGISTERS_HALF, variant)),
        _ => None,
    }
}

/// The kernel for operands of f32, and its variant.
fn float_kernel(device: &Device, choice: &str, params: &MatmulParams, few_columns: bool) -> (&'static Kernel, usize) {
    match (choice, params.lie(4)) {
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
        false => "cooperative",
    };
    let choice = device.forced_choice(FAMILY.0).unwrap_or(usual);
    let few_columns = !software || k <= MAX_DEPTH.0;
    let found = match c.dtype().is_half() {
        true => half_kernel(device, c.dtype(), choice, &params, few_columns),
        false => Some(float_kernel(device, choice, &params, few_columns)),
    };
    let Some((kernel, variant)) = found else { return multiply_wide(run, a, b, bias, c) };
    // Without a bias something has to be bound in its place; it is not read.
    let operands = [a, b, bias.unwrap_or(a), c];
    for part in row_parts(&params, device.adapter().map(|facts| facts.max_work())) {
        run.dispatch(kernel, variant, &operands, &part);
    }
    Ok(())
}

impl MatmulParams {
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
    use super::{MatmulParams, row_parts};

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
