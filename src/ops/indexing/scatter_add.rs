//! `scatter_add`: `y = x`, then `y[index[i, j], j] += src[i, j]` for dim 0, `y[i, index[i, j]] += src[i, j]` for dim 1. It
//! also is the way back of the operations that pick by an index.
//!
//! The gradient of x is the upstream gradient, that of src is picked from it.
//!
//! Sums of floats depend on their order, so nothing is added with atomics: each target element adds its own entries, in
//! the order of their numbers, and a run gives the same bits each time. For short lines every element looks at all entries
//! of its line. For longer ones the entries are sorted by index with a stable counting sort (five bits a pass, Knuth vol. 3,
//! 5.2.5), after which those of an element lie side by side. Long runs of one index are added block by block, in
//! blocks of about √(n/2) entries, so no thread has more than some √n steps however the indices are spread.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.scatter_add_.html>

use smallvec::smallvec;

use super::scatter_twins::{
    DIGIT_BITS, DIGITS, ScatterParams, add_twin, blocks_twin, count_twin, place_twin, starts_twin,
};
use super::{at_least_1d, check_index, check_sizes};
use crate::dtype::DType;
use crate::engine::tuner::class;
use crate::engine::{Binding, Bound, Grid, Kernel, Params, ParamsLayout, Variant, WORKGROUP, fault};
use crate::ops::assign::copying;
use crate::ops::elementwise::ElementwiseParams;
use crate::ops::{
    Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, copy_into, methods, single, tune,
};
use crate::tensor::shape::{Walk, dim_index, numel};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

/// Workgroups of a pass at most: each of them adds up the counts of all.
const MAX_TILES: u32 = 512;
/// Entries of a thread at least.
const MIN_CHUNK: u32 = 16;
/// Entries of a block at least.
const MIN_BLOCK: u32 = 256;

/// The ways to add, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("scatter_add", &["walk", "segments"]);

macro_rules! scatter_kernel {
    ($name:literal, $entry:literal, $bindings:expr, $variants:expr, $grid:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!("../../../shaders/indexing/scatter_add.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<ScatterParams>(),
            variants: $variants,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}

/// Kernels that sort know nothing of the elements.
const SORTING: &[Variant] = &[Variant::new("", &[crate::engine::Item::Alias("elem", "f32")])];

static WALK: Kernel = scatter_kernel!(
    "scatter_add.walk",
    "walk",
    &[Binding::Read("index"), Binding::Read("walk_source"), Binding::ReadWrite("walk_target"), Binding::Faults],
    Variant::STORAGE,
    |p| {
        let p: &ScatterParams = p.get();
        Grid::elements(p.rest * p.size).work(u64::from(p.rest) * u64::from(p.size) * u64::from(p.m + 8) * 4)
    },
    |call| add_twin(call, 1, 2),
    |p| sum_bound(p.get::<ScatterParams>().m)
);

static COUNT: Kernel = scatter_kernel!(
    "scatter_add.count",
    "count",
    &[Binding::Read("index"), Binding::Read("order"), Binding::Write("counts"), Binding::Faults],
    SORTING,
    tiles,
    count_twin,
    |_| Bound::Exact
);

static PLACE: Kernel = scatter_kernel!(
    "scatter_add.place",
    "place",
    &[Binding::Read("index"), Binding::Read("order"), Binding::Read("counted"), Binding::Write("sorted")],
    SORTING,
    tiles,
    place_twin,
    |_| Bound::Exact
);

static STARTS: Kernel = scatter_kernel!(
    "scatter_add.starts",
    "starts",
    &[Binding::Read("index"), Binding::Read("order"), Binding::Write("found")],
    SORTING,
    |p| {
        let p: &ScatterParams = p.get();
        Grid::elements(p.size * p.lines + 1)
    },
    starts_twin,
    |_| Bound::Exact
);

static BLOCKS: Kernel = scatter_kernel!(
    "scatter_add.blocks",
    "blocks",
    &[Binding::Read("block_order"), Binding::Read("block_source"), Binding::Write("block_sums")],
    Variant::STORAGE,
    |p| {
        let p: &ScatterParams = p.get();
        Grid::elements(p.n.div_ceil(p.block) * p.columns()).work(u64::from(p.n) * u64::from(p.columns()) * 8)
    },
    blocks_twin,
    |p| sum_bound(p.get::<ScatterParams>().block)
);

static SEGMENTS: Kernel = scatter_kernel!(
    "scatter_add.segments",
    "segments",
    &[
        Binding::Read("index"),
        Binding::Read("order"),
        Binding::Read("begins"),
        Binding::Read("source"),
        Binding::Read("sums"),
        Binding::ReadWrite("result"),
    ],
    Variant::STORAGE,
    |p| {
        let p: &ScatterParams = p.get();
        let entries = u64::from(p.n) * u64::from(p.columns());
        Grid::elements(p.rest * p.size).work(u64::from(p.rest) * u64::from(p.size) * 8 + entries * 4)
    },
    |call| add_twin(call, 3, 5),
    |p| sum_bound(p.get::<ScatterParams>().m)
);

/// As for other sums, in the square root of the number of terms.
fn sum_bound(terms: u32) -> Bound {
    Bound::Magnitude { ulps: 2.0 + 2.0 * f64::from(terms).sqrt() }
}

fn tiles(params: &Params<'_>) -> Grid {
    let p: &ScatterParams = params.get();
    Grid::groups(u64::from(p.tiles)).work(u64::from(p.n) * 16 + u64::from(p.tiles) * 4096)
}

/// Source elements that are to be added to a target by index.
pub(super) struct Scatter<'a> {
    pub target: &'a Tensor,
    /// As large as the target in all dims but the indexed one.
    pub source: &'a Tensor,
    pub dim: usize,
    /// Contiguous, and line by line as [`line_major`] gives it; with one line for all, one number for each slice of the
    /// source.
    pub index: &'a Tensor,
    /// Whether each element of the other dims has indices of its own.
    pub by_line: bool,
    /// An index that counts for nothing.
    pub skip: Option<i32>,
    /// Where a bad index is reported from; 0 if it was reported before.
    pub site: u32,
    /// Whether the sums are added to what the target holds; otherwise they replace it.
    pub accumulate: bool,
}

/// A contiguous index whose last dim is the indexed one.
pub(super) fn line_major(index: &Tensor, d: usize) -> Result<Tensor> {
    let dims: Vec<i64> = (0..index.dim()).filter(|&i| i != d).chain([d]).map(|i| i as i64).collect();
    index.try_permute(&dims)?.try_contiguous()
}

impl Scatter<'_> {
    fn params(&self, op: &'static str) -> Result<ScatterParams> {
        let without = |values: &[usize]| {
            let mut values: Shape = values.into();
            values.remove(self.dim);
            values
        };
        let shape = without(self.source.shape());
        let strides = [without(self.source.strides()), without(self.target.strides())];
        let (walk, _) = Walk::new(op, &shape, [&strides[0], &strides[1]], shape.len())?;
        let (rest, m) = (numel(&shape), self.source.shape()[self.dim]);
        let lines = if self.by_line { rest } else { 1 };
        Ok(ScatterParams {
            n: (lines * m) as u32,
            m: m as u32,
            size: self.target.shape()[self.dim] as u32,
            skip: self.skip.unwrap_or(-1),
            site: self.site,
            index_offset: self.index.offset() as u32,
            first_bit: 0,
            unsorted: 1,
            chunk: 0,
            tiles: 0,
            rest: rest as u32,
            rank: walk.rank,
            by_line: u32::from(self.by_line),
            source_step: self.source.strides()[self.dim] as u32,
            target_step: self.target.strides()[self.dim] as u32,
            source_offset: self.source.offset() as u32,
            target_offset: self.target.offset() as u32,
            accumulate: u32::from(self.accumulate),
            block: 0,
            lines: lines as u32,
            shape: walk.shape,
            source_strides: walk.strides[0],
            target_strides: walk.strides[1],
        })
    }

    /// Whether each element should look at all entries of its line.
    fn by_walk(run: &Run<'_>, p: &ScatterParams) -> bool {
        match run.device().forced_choice(FAMILY.0) {
            Some("walk") => return true,
            Some("segments") => return false,
            _ => {}
        }
        // What a dozen dispatches of a sort cost, in steps of a walk.
        let steps = u64::from(p.rest) * u64::from(p.size) * u64::from(p.m);
        p.m <= 8 || p.m <= 1024 && steps <= 1 << 20 || run.device().is_reference()
    }

    /// Runs the kernels.
    pub fn run(&self, run: &mut Run<'_>, op: &'static str) -> Result<()> {
        let params = self.params(op)?;
        if params.n == 0 && self.accumulate {
            return Ok(());
        }
        let dtype = self.target.dtype();
        let key = || {
            let [m, size, rest, step] =
                [params.m, params.size, params.rest, params.source_step].map(|n| class(n as usize));
            [m, size, rest, step, params.by_line, params.accumulate, dtype as u32, 0]
        };
        let choice = tune::fastest(run, FAMILY, key, |run| {
            let target = run.output(dtype, self.target.shape());
            if self.accumulate {
                copy_into(&target, &self.target.detach())?;
            }
            // A bad index is reported by the run that counts.
            Scatter { target: &target, site: 0, ..*self }.run_as_chosen(run, op)?;
            Ok(smallvec![target])
        })?;
        choice.run(|| self.run_as_chosen(run, op))
    }

    fn run_as_chosen(&self, run: &mut Run<'_>, op: &'static str) -> Result<()> {
        let mut params = self.params(op)?;
        let variant = self.target.dtype().storage_variant();
        if params.n == 0 || Self::by_walk(run, &params) {
            run.dispatch(&WALK, variant, &[self.index, self.source, self.target], &params);
            return Ok(());
        }
        let order = self.sort(run, &mut params);
        let starts = run.output(DType::I32, &[(params.size * params.lines) as usize + 1]);
        run.dispatch(&STARTS, 0, &[self.index, &order, &starts], &params);
        let block = MIN_BLOCK.max(f64::from(params.n / 2).sqrt() as u32);
        let mut sums = self.source.clone();
        if params.m > 2 * block {
            params.block = block;
            let count = params.n.div_ceil(block) * params.columns();
            sums = run.output(self.target.dtype(), &[count as usize]);
            run.dispatch(&BLOCKS, variant, &[&order, self.source, &sums], &params);
        }
        let operands = [self.index, &order, &starts, self.source, &sums, self.target];
        run.dispatch(&SEGMENTS, variant, &operands, &params);
        Ok(())
    }

    /// The numbers of the entries, sorted by index.
    fn sort(&self, run: &mut Run<'_>, params: &mut ScatterParams) -> Tensor {
        params.chunk = params.n.div_ceil(WORKGROUP * MAX_TILES).max(MIN_CHUNK);
        params.tiles = params.n.div_ceil(WORKGROUP * params.chunk);
        // `size` itself is the key of what counts for nothing.
        let bits = u32::BITS - params.size.leading_zeros();
        let mut order = self.index.clone();
        for first_bit in (0..bits).step_by(DIGIT_BITS as usize) {
            (params.first_bit, params.unsorted) = (first_bit, u32::from(first_bit == 0));
            let counts = run.output(DType::I32, &[(params.tiles * DIGITS) as usize]);
            run.dispatch(&COUNT, 0, &[self.index, &order, &counts], params);
            let sorted = run.output(DType::I32, &[params.n as usize]);
            run.dispatch(&PLACE, 0, &[self.index, &order, &counts, &sorted], params);
            order = sorted;
        }
        order
    }
}

/// The part of `x` as large as `shape`, from its first element.
pub(super) fn corner(x: &Tensor, shape: Shape) -> Tensor {
    x.detach().view_as_layout(Layout { shape, strides: x.strides().into(), offset: x.offset() })
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index, source) = (call.input(0), call.input(1), call.input(2));
    let op = call.op();
    let d = dim_index(op, call.attrs().get_int("dim"), x.dim())?;
    check_index(op, index)?;
    if x.dtype() != source.dtype() || x.dtype() == DType::Bool {
        let detail = format!("takes numbers of one type, not {} and {}", x.dtype(), source.dtype());
        return Err(Error::dtype(op, detail));
    }
    let y = call.output(x.dtype(), x.shape());
    let params = ElementwiseParams::new(op, x.shape(), &[x, &y], &y)?;
    call.dispatch(copying(&params), x.dtype().storage_variant(), &[x, &y], &params);
    if index.numel() > 0 {
        check_sizes(op, index, x, Some(d))?;
        check_sizes(op, index, source, None)?;
        if x.shape()[d] == 0 {
            let detail = format!("dim {d} of shape {:?} has no elements to add to", x.shape());
            return Err(Error::shape(op, detail));
        }
        let mut shape: Shape = index.shape().into();
        shape[d] = x.shape()[d];
        let scatter = Scatter {
            target: &corner(&y, shape),
            source: &corner(source, index.shape().into()),
            dim: d,
            index: &line_major(index, d)?,
            by_line: true,
            skip: None,
            site: fault::site(op),
            accumulate: true,
        };
        scatter.run(call, op)?;
    }
    call.save(index);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let dx = v.needs(0).then(|| v.gradient().clone());
    if !v.needs(2) {
        return Ok(smallvec![dx, None, None]);
    }
    let (index, shape) = (v.saved(0), v.input_shape(2));
    let picked = v.gradient().try_gather(v.attrs().get_int("dim"), &index)?;
    if index.shape() == shape {
        return Ok(smallvec![dx, None, Some(picked)]);
    }
    // What the index does not cover was added nowhere.
    let ds = Tensor::try_full_on(shape, 0.0, DType::F32, v.device())?;
    if index.numel() > 0 {
        copy_into(&corner(&ds, index.shape().into()), &picked)?;
    }
    Ok(smallvec![dx, None, Some(ds)])
}

/// The operation `scatter_add`: inputs x, the index and the source.
pub(crate) static SCATTER_ADD: Operation = Operation {
    name: "scatter_add",
    kernels: &[&WALK, &COUNT, &PLACE, &STARTS, &BLOCKS, &SEGMENTS],
    forward,
    vjp: Some(vjp),
    cases,
};

/// A case of x, an index and a source.
pub(super) fn case(name: &str, x: cases::Input, index: cases::Input, source: cases::Input, dim: i64) -> cases::Case {
    cases::Case::new(name, vec![x, index, source]).attrs(Attrs::new().int("dim", dim))
}

/// What a source in the places of an index has to stand, whatever is done with it there.
pub(super) fn scatter_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, EXTREME, Input};
    let (x, index) = (Input::floats, |shape: &[usize], size| Input::ints(shape, 0, size));
    vec![
        case("dim 0", x(&[4, 3]), index(&[5, 3], 4), x(&[5, 3]), 0),
        case("dim 1", x(&[4, 3]), index(&[4, 6], 3), x(&[4, 6]), 1),
        case("middle", x(&[2, 5, 3]), index(&[2, 4, 3], 5), x(&[2, 4, 3]), -2),
        case("smaller index", x(&[4, 5]), index(&[2, 3], 5), x(&[2, 3]), 1),
        case("larger source", x(&[4, 5]), index(&[2, 3], 5), x(&[3, 4]), 1),
        case("one", x(&[1]), index(&[1], 1), x(&[1]), 0),
        case("no index", x(&[4, 3]), index(&[0, 3], 4), x(&[2, 3]), 0),
        case("empty", x(&[4, 0]), index(&[2, 0], 4), x(&[2, 0]), 0),
        case(
            "odd",
            x(&[5, 3]).arranged(Arrangement::Transposed),
            index(&[4, 3], 5).arranged(Arrangement::Strided),
            x(&[4, 3]).arranged(Arrangement::Expanded),
            0,
        ),
        case("extreme", x(&[20]).fill(EXTREME), index(&[17], 20), x(&[17]).fill(EXTREME), 0).no_gradcheck(),
        case("float index", x(&[4]), x(&[2]), x(&[2]), 0).fails(),
        case("types", x(&[4]), index(&[2], 4), Input::ints(&[2], 0, 9), 0).fails(),
        case("rank", x(&[4, 3]), index(&[4], 3), x(&[4]), 1).fails(),
        case("small source", x(&[3, 5]), index(&[3, 3], 5), x(&[3, 2]), 1).fails(),
        case("larger index", x(&[4, 3]), index(&[5, 3], 3), x(&[5, 3]), 1).fails(),
    ]
}

fn cases() -> Vec<cases::Case> {
    use cases::Input;
    let (x, index) = (Input::floats, |shape: &[usize], size| Input::ints(shape, 0, size));
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 9).dtype(DType::U32);
    let mut list = scatter_cases();
    list.extend([
        case("many digits", x(&[70_000]), index(&[90], 70_000), x(&[90]), 0).no_gradcheck(),
        case("several workgroups", x(&[100]), index(&[3000], 100), x(&[3000]), 0).no_gradcheck(),
        case("long runs", x(&[3]), index(&[3000], 2), x(&[3000]), 0).no_gradcheck(),
        case("long runs by line", x(&[3, 2]), index(&[3, 1700], 2), x(&[3, 1700]), 1).no_gradcheck(),
        case("long lines", x(&[40, 3]), index(&[1100, 3], 40), x(&[1100, 3]), 0).no_gradcheck(),
        case("i32", Input::ints(&[6], -9, 9), index(&[2000], 6), Input::ints(&[2000], -9, 9), 0),
        case("u32", unsigned(&[6]), index(&[2000], 6), unsigned(&[2000]), 0),
        case("bools", Input::bools(&[4]), index(&[2], 4), Input::bools(&[2]), 0).fails(),
        case("no places", x(&[0]), index(&[2], 1), x(&[2]), 0).fails(),
    ]);
    list
}

methods! {
    /// This tensor with elements of `source` added to those of a dim that the i32 index names: for `dim` 1,
    /// `y[i][index[i][j]] += source[i][j]`. The source may be larger than the index; what lies outside counts for nothing.
    ///
    /// The order of the sums is fixed, so a run gives the same bits each time. An index outside of the dim, or below 0, is
    /// found on the device: nothing is updated from then on, and the next read returns [`Error::Index`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let source = Tensor::from_slice(&[1.0f32, 2.0, 4.0], &[3]);
    /// let y = Tensor::zeros(&[2]).scatter_add(0, &Tensor::from_slice(&[1, 0, 1], &[3]), &source);
    /// assert_eq!(y.to_vec::<f32>()?, [2.0, 5.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn scatter_add / try_scatter_add (&self, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
        let (x, rows, added) = (at_least_1d(self)?, at_least_1d(index)?, at_least_1d(source)?);
        let y = single(apply(&SCATTER_ADD, &[&x, &rows, &added], Attrs::new().int("dim", dim)))?;
        if self.dim() == 0 { y.try_reshape([0usize; 0]) } else { Ok(y) }
    }

    /// These class numbers (i32) as vectors of 0 and 1, in a new last dim of `classes` elements.
    ///
    /// A number outside of the classes is found on the device, as [`Self::scatter_add`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[2, 0], &[2]).one_hot(3);
    /// assert_eq!(y.to_vec::<i32>()?, [0, 0, 1, 1, 0, 0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn one_hot / try_one_hot (&self, classes: usize) -> Tensor {
        let mut shape: Shape = self.shape().into();
        shape.push(classes);
        let index = self.try_unsqueeze(-1)?;
        let ones = Tensor::try_full_on(index.shape(), 1.0, DType::I32, self.device())?;
        Tensor::try_full_on(&shape, 0.0, DType::I32, self.device())?.try_scatter_add(-1, &index, &ones)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    /// Both ways give what the definition gives; the kernels' twins run in their place.
    #[test]
    fn sorting_and_walking_agree() {
        let device = Device::new_reference(true);
        let index: Vec<i32> = (0..2500).map(|i| i * i % 37 * 5 % 41).collect();
        let source: Vec<f32> = (0..2500).map(|i| (i % 19) as f32).collect();
        let mut want = vec![1.0f32; 41];
        index.iter().zip(&source).for_each(|(&k, s)| want[k as usize] += s);
        for way in FAMILY.1 {
            device.force_choice(FAMILY.0, Some(way));
            let x = Tensor::full_on(&[41], 1.0, DType::F32, &device);
            let index = Tensor::from_slice_on(&index, &[2500], &device);
            let y = x.scatter_add(0, &index, &Tensor::from_slice_on(&source, &[2500], &device));
            assert_eq!(y.to_vec::<f32>().unwrap(), want, "{way}");
        }
    }

    #[test]
    fn a_bad_index_is_an_error_on_the_reference_at_once() {
        let device = Device::reference();
        let x = Tensor::full_on(&[3, 2], 1.0, DType::F32, &device);
        for bad in [-1, 3] {
            let index = Tensor::from_slice_on(&[0, bad], &[2], &device);
            let rows = Tensor::from_slice_on(&[0, bad], &[1, 2], &device);
            let errors = [
                x.try_index_select(0, &index),
                x.try_embedding(&index, None),
                x.try_gather(0, &rows),
                x.try_scatter_add(0, &rows, &x),
                index.try_one_hot(3),
            ];
            for error in errors {
                let text = error.unwrap_err().to_string();
                assert!(text.contains(&bad.to_string()) && text.contains("0 to 2"), "{text}");
            }
        }
    }
}
