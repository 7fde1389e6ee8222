//! Copies of tensors whose dims have been swapped, four vectors of four elements a thread: where the last dim is another one
//! than before, a block of four by four is turned in registers.

use smallvec::SmallVec;

use super::elementwise::ElementwiseParams;
use crate::Result;
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, ParamsLayout, Variant};
use crate::tensor::shape::{Walk, strided_offset};

params! {
    /// Twin of `Params` in `shaders/copy_blocks.wgsl`.
    pub struct BlockParams {
        n: u32,
        rank: u32,
        x_step: u32,
        y_step: u32,
        firsts: [u32; 4],
        shape: [u32; 8],
        x_strides: [u32; 8],
        y_strides: [u32; 8],
    }
}

/// On lavapipe 1024×1024 take a seventh of the time that single elements take, and the heads of an attention half of what
/// `cast.rows` takes, which finds the place of every vector (`cargo bench --bench elementwise -- copy`).
pub(crate) static BLOCKS: Kernel = Kernel {
    name: "cast.blocks",
    source: &[include_str!("../../shaders/copy_blocks.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<BlockParams>(),
    // The shader sees bits; the twin is told what they are.
    variants: &[
        Variant::new("f32", LINES),
        Variant::new("i32", LINES),
        Variant::new("u32", LINES),
        Variant::new("turned f32", TURNED),
        Variant::new("turned i32", TURNED),
        Variant::new("turned u32", TURNED),
    ],
    grid: |p| {
        let n = p.get::<BlockParams>().n;
        Grid::elements(n).work(u64::from(n) * 16 * 8)
    },
    reference: twin,
    bound: |_| Bound::Exact,
};

const LINES: &[Item] = &[Item::Const("TURNED", 0)];
const TURNED: &[Item] = &[Item::Const("TURNED", 1)];

/// Blocks side by side in x that neighbouring threads copy, if there are so many: they share a line of a cache, of which
/// each reads a fourth.
const TOGETHER: u32 = 4;

/// Size of a dim of blocks, and its steps in x and in the result, in elements.
type Dim = [u32; 3];

impl BlockParams {
    /// The blocks of a copy, if it has any, and the variant for elements that lie so.
    pub fn of(copy: &ElementwiseParams, dtype: DType) -> Option<(BlockParams, usize)> {
        let rank = copy.rank as usize;
        let last = rank.checked_sub(1).filter(|&last| last > 0)?;
        let (shape, x_strides) = (&copy.shape[..rank], &copy.strides[..rank]);
        let whole = |n: u32| n.is_multiple_of(4);
        // The dim in which x has neighbours; all other steps are whole vectors.
        let side = x_strides.iter().position(|&step| step == 1)?;
        let mut wholes = (0..rank).filter(|&d| d != side).map(|d| x_strides[d]);
        if !wholes.all(whole) || ![shape[side], shape[last], copy.offsets[0], copy.offsets[3]].into_iter().all(whole) {
            return None;
        }
        // The result lies in order.
        let dim = |d: usize| -> Dim { [shape[d], x_strides[d], shape[d + 1..].iter().product()] };
        let by = |[size, x, y]: Dim, n: u32| -> Dim { [size / n, n * x, n * y] };
        let mut dims: SmallVec<[Dim; 8]> = (0..rank).map(dim).collect();
        // Of a block's lines, the steps in x and in the result.
        let steps;
        let turned = side != last;
        if turned {
            let blocks = by(dims.remove(side), 4);
            let beside = (1..=TOGETHER).rev().find(|n| n.is_power_of_two() && blocks[0].is_multiple_of(*n))?;
            let across = dims.pop()?;
            steps = [across[1], blocks[2] / 4];
            dims.extend([by(blocks, beside), by(across, 4), [beside, blocks[1], blocks[2]]]);
        } else if let Some(d) = (0..last).rev().find(|&d| whole(shape[d])) {
            steps = [dims[d][1], dims[d][2]];
            dims[d] = by(dims[d], 4);
            dims[last] = by(dims[last], 4);
        } else if shape[last].is_multiple_of(16) {
            steps = [4, 4];
            dims[last] = by(dims[last], 16);
        } else {
            return None;
        }
        let column =
            |i: usize, by: u32| dims.iter().map(|dim| (dim[i] / by) as usize).collect::<SmallVec<[usize; 8]>>();
        let (sizes, [x, y]) = (column(0, 1), [column(1, 4), column(2, 4)]);
        // Too many dims are another kernel's.
        let (walk, _) = Walk::new("to", &sizes, [&x, &y], sizes.len()).ok()?;
        let params = BlockParams {
            n: copy.n / 16,
            rank: walk.rank,
            x_step: steps[0] / 4,
            y_step: steps[1] / 4,
            firsts: [copy.offsets[0] / 4, copy.offsets[3] / 4, 0, 0],
            shape: walk.shape,
            x_strides: walk.strides[0],
            y_strides: walk.strides[1],
        };
        Some((params, dtype.storage_variant() + 3 * usize::from(turned)))
    }
}

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &BlockParams = call.params();
    let turned = call.variant() >= 3;
    let places = (0..p.n).flat_map(|i| {
        let place = |first: u32, strides: &[u32]| first as usize + strided_offset(i, p.rank, &p.shape, strides);
        let (from, to) = (place(p.firsts[0], &p.x_strides), place(p.firsts[1], &p.y_strides));
        (0..16).map(move |k| {
            let (line, column) = (k / 4, k % 4);
            let (x_line, x_column) = if turned { (column, line) } else { (line, column) };
            (Some(4 * (from + x_line * p.x_step as usize) + x_column), 4 * (to + line * p.y_step as usize) + column)
        })
    });
    call.copy_elements(0, 1, places);
    Ok(())
}
