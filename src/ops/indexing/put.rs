//! `index_copy` and `scatter`: a tensor with elements of another one in the places that an index names. For dim 0 `index_copy`
//! sets whole slices, `y[index[i]] = source[i]`; in `scatter` each element has an index, `y[index[i, j], j] = source[i, j]`.
//!
//! Where an index comes twice the last entry wins; PyTorch leaves this open. The gradient of x is the upstream gradient with
//! zeros in the places that were set, that of the source is picked from it; what did not win gets 0.
//!
//! The winner of each place is the greatest entry number, found with atomics of integers, which give the same in any order.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.index_copy_.html>,
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.scatter_.html>

use smallvec::smallvec;

use super::scatter_add::{self, case, corner, line_major};
use super::{at_least_1d, check_index, check_sizes};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, ParamsLayout, Variant, fault};
use crate::ops::assign::copying;
use crate::ops::elementwise::ElementwiseParams;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::tensor::shape::{Walk, dim_index, numel, strided_offset};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/indexing/put.wgsl`.
    pub struct PutParams {
        n: u32,
        m: u32,
        size: u32,
        site: u32,
        index_offset: u32,
        rest: u32,
        rank: u32,
        by_line: u32,
        source_step: u32,
        target_step: u32,
        source_offset: u32,
        target_offset: u32,
        shape: [u32; 8],
        source_strides: [u32; 8],
        target_strides: [u32; 8],
    }
}

macro_rules! put_kernel {
    ($name:literal, $entry:literal, $bindings:expr, $variants:expr, $twin:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!("../../../shaders/indexing/put.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<PutParams>(),
            variants: $variants,
            grid: |p| Grid::elements(p.get::<PutParams>().n),
            reference: $twin,
            bound: |_| Bound::Exact,
        }
    };
}

/// Of kernels that know nothing of the elements, or only floats.
const FLOAT: &[Variant] = &[Variant::new("", &[Item::Alias("elem", "f32")])];

static MARK: Kernel = put_kernel!(
    "put.mark",
    "mark",
    &[Binding::Read("index"), Binding::ReadWrite("marks"), Binding::Faults],
    FLOAT,
    mark_twin
);

static WRITE: Kernel = put_kernel!(
    "put.write",
    "write",
    // What no entry names stays as it is.
    &[Binding::Read("index"), Binding::Read("winners"), Binding::Read("values"), Binding::ReadWrite("result")],
    Variant::STORAGE,
    |call| {
        let p: &PutParams = call.params();
        let entries = p.entries(call);
        call.copy_elements(2, 3, entries.into_iter().filter(|e| e.2).map(|(from, to, _)| (Some(from), to)));
        Ok(())
    }
);

static BACKWARD: Kernel = put_kernel!(
    "put.backward",
    "backward",
    &[Binding::Read("index"), Binding::Read("winners"), Binding::Read("values"), Binding::ReadWrite("result")],
    FLOAT,
    |call| {
        let p: &PutParams = call.params();
        let entries = p.entries(call);
        call.copy_elements(2, 3, entries.into_iter().map(|(source, place, wins)| (wins.then_some(place), source)));
        Ok(())
    }
);

fn mark_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &PutParams = call.params();
    let (index, mut marks) = (call.ints(0), call.ints_mut(1));
    for i in 0..p.n {
        let k = index[(p.index_offset + i) as usize];
        if k < 0 || k as u32 >= p.size {
            return Err(call.fault(p.site, i64::from(k), i64::from(p.size)));
        }
        let mark = &mut marks[(i / p.m * p.size + k as u32) as usize];
        *mark = (*mark).max((i % p.m) as i32);
    }
    Ok(())
}

impl PutParams {
    /// Of every entry: where its source lies, where it goes to, and whether it wins.
    fn entries(&self, call: &HostCall<'_>) -> Vec<(usize, usize, bool)> {
        let (index, winners) = (call.ints(0), call.ints(1));
        let entry = |i: u32| {
            let (j, r) = (i / self.rest, i % self.rest);
            let line = if self.by_line != 0 { r } else { 0 };
            let k = index[(self.index_offset + line * self.m + j) as usize];
            let offset = |first: u32, strides| first as usize + strided_offset(r, self.rank, &self.shape, strides);
            let source = offset(self.source_offset + j * self.source_step, &self.source_strides);
            if k < 0 || k as u32 >= self.size {
                return (source, 0, false);
            }
            let place = offset(self.target_offset + k as u32 * self.target_step, &self.target_strides);
            (source, place, winners[(line * self.size + k as u32) as usize] == j as i32)
        };
        (0..self.n).map(entry).collect()
    }
}

/// Source elements that are to be put into a target by index.
pub(crate) struct Put<'a> {
    pub target: &'a Tensor,
    /// As large as the target in all dims but the indexed one.
    pub source: &'a Tensor,
    pub dim: usize,
    /// Contiguous; line by line as [`line_major`] gives it, or one number for each slice of the source.
    pub index: &'a Tensor,
    /// Whether each element of the other dims has indices of its own.
    pub by_line: bool,
}

impl Put<'_> {
    fn params(&self, op: &'static str) -> Result<PutParams> {
        let without = |values: &[usize]| {
            let mut values: Shape = values.into();
            values.remove(self.dim);
            values
        };
        let shape = without(self.source.shape());
        let strides = [without(self.source.strides()), without(self.target.strides())];
        let (walk, _) = Walk::new(op, &shape, [&strides[0], &strides[1]], shape.len())?;
        Ok(PutParams {
            n: self.source.numel() as u32,
            m: self.source.shape()[self.dim] as u32,
            size: self.target.shape()[self.dim] as u32,
            site: fault::site(op),
            index_offset: self.index.offset() as u32,
            rest: numel(&shape) as u32,
            rank: walk.rank,
            by_line: u32::from(self.by_line),
            source_step: self.source.strides()[self.dim] as u32,
            target_step: self.target.strides()[self.dim] as u32,
            source_offset: self.source.offset() as u32,
            target_offset: self.target.offset() as u32,
            shape: walk.shape,
            source_strides: walk.strides[0],
            target_strides: walk.strides[1],
        })
    }

    /// The entry that wins each place, -1 where none goes. Reports bad indices.
    pub fn winners(&self, run: &mut Run<'_>, op: &'static str) -> Result<Tensor> {
        let mut params = self.params(op)?;
        let lines = if self.by_line { params.rest } else { 1 };
        let winners = Tensor::try_full_on(&[(lines * params.size) as usize], -1.0, DType::I32, run.device())?;
        params.n = lines * params.m;
        run.dispatch(&MARK, 0, &[self.index, &winners], &params);
        Ok(winners)
    }

    /// Lets the winners write.
    pub fn write(&self, run: &mut Run<'_>, op: &'static str, winners: &Tensor) -> Result<()> {
        let params = self.params(op)?;
        let variant = self.target.dtype().storage_variant();
        run.dispatch_in_place(&WRITE, variant, &[self.index, winners, self.source, self.target], self.target, &params);
        Ok(())
    }
}

/// A copy of `x` in fresh memory.
pub(super) fn copied(run: &mut Run<'_>, op: &'static str, x: &Tensor) -> Result<Tensor> {
    let y = run.output(x.dtype(), x.shape());
    let params = ElementwiseParams::new(op, x.shape(), &[x, &y], &y)?;
    run.dispatch(copying(&params), x.dtype().storage_variant(), &[x, &y], &params);
    Ok(y)
}

fn check_types(op: &'static str, x: &Tensor, source: &Tensor) -> Result<()> {
    if x.dtype() == source.dtype() {
        return Ok(());
    }
    let detail =
        format!("the tensor holds {}, the source {}; convert one with `.to_dtype(..)`", x.dtype(), source.dtype());
    Err(Error::dtype(op, detail))
}

/// The parts of target and source that the index of a `scatter` covers; a target keeps its indexed dim.
fn covered(x: &Tensor, index: &[usize], d: usize) -> Shape {
    let mut shape: Shape = index.into();
    shape[d] = x.shape()[d];
    shape
}

fn index_copy(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index, source) = (call.input(0), call.input(1), call.input(2));
    let op = call.op();
    let d = dim_index(op, call.attrs().get_int("dim"), x.dim())?;
    check_index(op, index)?;
    check_types(op, x, source)?;
    check_slices(op, x, index, source, d)?;
    let y = copied(call, op, x)?;
    let index = index.try_contiguous()?;
    let put = Put { target: &y, source, dim: d, index: &index, by_line: false };
    finish(call, put, &index)?;
    Ok(smallvec![y])
}

/// Refuses a source that does not have a slice of `x` for each number of the index.
pub(super) fn check_slices(op: &'static str, x: &Tensor, index: &Tensor, source: &Tensor, d: usize) -> Result<()> {
    if index.dim() != 1 {
        return Err(Error::shape(op, format!("the index must be 1-d, it has the shape {:?}", index.shape())));
    }
    let mut want: Shape = x.shape().into();
    want[d] = index.numel();
    if source.shape() == want.as_slice() {
        return Ok(());
    }
    let detail = format!("the source must have the shape {want:?}, it has {:?}", source.shape());
    Err(Error::shape(op, detail))
}

fn scatter(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, index, source) = (call.input(0), call.input(1), call.input(2));
    let op = call.op();
    let d = dim_index(op, call.attrs().get_int("dim"), x.dim())?;
    check_index(op, index)?;
    check_types(op, x, source)?;
    if index.numel() > 0 {
        check_sizes(op, index, x, Some(d))?;
        check_sizes(op, index, source, None)?;
    }
    let y = copied(call, op, x)?;
    if index.numel() > 0 {
        let (target, source) = (corner(&y, covered(x, index.shape(), d)), corner(source, index.shape().into()));
        let lines = line_major(index, d)?;
        finish(call, Put { target: &target, source: &source, dim: d, index: &lines, by_line: true }, &lines)?;
    }
    Ok(smallvec![y])
}

/// Puts, and saves what the gradient needs.
fn finish(call: &mut Call<'_>, put: Put<'_>, index: &Tensor) -> Result<()> {
    let op = call.op();
    if put.source.numel() == 0 {
        return Ok(());
    }
    let winners = put.winners(call, op)?;
    put.write(call, op, &winners)?;
    call.save(index);
    call.save(&winners);
    Ok(())
}

/// `shape`: of the entries, where the index is not one for all.
fn vjp(v: &mut Vjp<'_>, op: &'static str, by_line: bool) -> Result<Gradients> {
    let shape = v.input_shape(0);
    let d = dim_index(op, v.attrs().get_int("dim"), shape.len())?;
    if v.saved_len() == 0 {
        // Nothing was put anywhere.
        let zeros = |v: &Vjp<'_>| Tensor::try_full_on(v.input_shape(2), 0.0, DType::F32, v.device());
        let ds = if v.needs(2) { Some(zeros(v)?) } else { None };
        return Ok(smallvec![v.needs(0).then(|| v.gradient().clone()), None, ds]);
    }
    let (index, winners) = (v.saved(0), v.saved(1));
    // The shape of the entries: that of the index, whose last dim is the indexed one.
    let entries: Shape = if by_line {
        let (m, mut entries) = (index.shape()[index.dim() - 1], Shape::from(&index.shape()[..index.dim() - 1]));
        entries.insert(d, m);
        entries
    } else {
        v.input_shape(2).into()
    };
    let mut target: Shape = entries.clone();
    target[d] = shape[d];
    let mut gradients: Gradients = smallvec![None, None, None];
    if v.needs(0) {
        let g = v.gradient();
        let dx = copied(v, op, g)?;
        let zeros = Tensor::try_full_on(&[], 0.0, DType::F32, v.device())?.try_expand(&entries)?;
        let put = Put { target: &corner(&dx, target.clone()), source: &zeros, dim: d, index: &index, by_line };
        put.write(v, op, &winners)?;
        gradients[0] = Some(dx);
    }
    if v.needs(2) {
        // What the index does not cover was put nowhere.
        let complete = v.input_shape(2) == entries.as_slice();
        let zeros = |v: &Vjp<'_>| Tensor::try_full_on(v.input_shape(2), 0.0, DType::F32, v.device());
        let ds = if complete { v.gradient_output(2) } else { zeros(v)? };
        let (g, part) = (corner(v.gradient(), target), corner(&ds, entries));
        let params = Put { target: &g, source: &part, dim: d, index: &index, by_line }.params(op)?;
        v.dispatch(&BACKWARD, 0, &[&index, &winners, &g, &part], &params);
        gradients[2] = Some(ds);
    }
    Ok(gradients)
}

/// The operation `index_copy`: inputs x, a 1-d index, and the source.
pub(crate) static INDEX_COPY: Operation = Operation {
    name: "index_copy",
    kernels: &[&MARK, &WRITE, &BACKWARD],
    forward: index_copy,
    vjp: Some(|v| vjp(v, "index_copy", false)),
    cases: || super::index_add::slice_cases(true),
};

/// The operation `scatter`: inputs x, the index and the source.
pub(crate) static SCATTER: Operation = Operation {
    name: "scatter",
    kernels: &[],
    forward: scatter,
    vjp: Some(|v| vjp(v, "scatter", true)),
    cases: scatter_cases,
};

fn scatter_cases() -> Vec<cases::Case> {
    use cases::Input;
    let (x, index) = (Input::floats, |shape: &[usize], size| Input::ints(shape, 0, size));
    let mut list = scatter_add::scatter_cases();
    list.extend([
        case("large", x(&[65, 129]), index(&[65, 70], 129), x(&[65, 70]), 1).no_gradcheck(),
        case("all to one", x(&[3, 2]), index(&[3, 1700], 1), x(&[3, 1700]), 1).no_gradcheck(),
        case("i32", Input::ints(&[6], -9, 9), index(&[20], 6), Input::ints(&[20], -9, 9), 0),
        case("bool", Input::bools(&[6]), index(&[20], 6), Input::bools(&[20]), 0),
    ]);
    list
}

methods! {
    /// This tensor with the slices of `source` in the places of a dim that the 1-d i32 index names: for `dim` 0,
    /// `y[index[i]] = source[i]`. Where an index comes twice the last slice wins.
    ///
    /// An index outside of the dim, or below 0, is found on the device, as [`Self::scatter_add`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let source = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]);
    /// let y = Tensor::zeros(&[3]).index_copy(0, &Tensor::from_slice(&[2, 0, 2], &[3]), &source);
    /// assert_eq!(y.to_vec::<f32>()?, [2.0, 0.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When shapes or types do not fit.
    pub fn index_copy / try_index_copy (&self, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
        let (x, rows, source) = (at_least_1d(self)?, at_least_1d(index)?, at_least_1d(source)?);
        let y = single(apply(&INDEX_COPY, &[&x, &rows, &source], Attrs::new().int("dim", dim)))?;
        if self.dim() == 0 { y.try_reshape([0usize; 0]) } else { Ok(y) }
    }

    /// This tensor with a number in all slices of a dim that the 1-d i32 index names. They get no gradient.
    ///
    /// # Panics
    /// As [`Self::index_copy`].
    pub fn index_fill / try_index_fill (&self, dim: i64, index: &Tensor, value: f64) -> Tensor {
        let x = at_least_1d(self)?;
        let d = dim_index("index_fill", dim, x.dim())?;
        let mut shape: Shape = x.shape().into();
        shape[d] = index.numel();
        let source = Tensor::try_full_on(&[], value, x.dtype(), x.device())?.try_expand(&shape)?;
        self.try_index_copy(dim, index, &source)
    }

    /// This tensor with elements of `source` in the places of a dim that the i32 index names: for `dim` 1,
    /// `y[i][index[i][j]] = source[i][j]`. The source may be larger than the index; what lies outside is not used. Where an index
    /// comes twice in a line the last element wins; PyTorch leaves this open.
    ///
    /// An index outside of the dim, or below 0, is found on the device, as [`Self::scatter_add`] tells.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (index, source) = (Tensor::from_slice(&[2, 0], &[2, 1]), Tensor::from_slice(&[5.0f32, 6.0], &[2, 1]));
    /// let y = Tensor::zeros(&[2, 3]).scatter(1, &index, &source);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When shapes or types do not fit.
    pub fn scatter / try_scatter (&self, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
        let (x, rows, source) = (at_least_1d(self)?, at_least_1d(index)?, at_least_1d(source)?);
        let y = single(apply(&SCATTER, &[&x, &rows, &source], Attrs::new().int("dim", dim)))?;
        if self.dim() == 0 { y.try_reshape([0usize; 0]) } else { Ok(y) }
    }

    /// [`Self::scatter`] of one number. It gets no gradient.
    ///
    /// # Panics
    /// As [`Self::scatter`].
    pub fn scatter_value / try_scatter_value (&self, dim: i64, index: &Tensor, value: f64) -> Tensor {
        let source = Tensor::try_full_on(&[], value, self.dtype(), self.device())?.try_expand(index.shape())?;
        self.try_scatter(dim, index, &source)
    }
}
