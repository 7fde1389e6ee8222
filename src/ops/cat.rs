//! `cat` and `stack`: tensors side by side along a dim. The gradient of an input is its part of the upstream gradient, a
//! view.
//!
//! Inputs whose elements behind the dim lie in one piece are written up to seven in a dispatch, which is as many as
//! WebGPU lets a kernel bind beside the result; others one by one with the strided copy.
//!
//! <https://pytorch.org/docs/stable/generated/torch.cat.html>

use std::borrow::Borrow;

use smallvec::{SmallVec, smallvec};

use super::assign::copying;
use super::elementwise::ElementwiseParams;
use super::methods_support::or_panic;
use super::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, single};
use crate::dtype::DType;
use crate::engine::fault::CallerScope;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::shape::{Walk, checked_numel, contiguous_strides, dim_index, numel};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

/// Inputs of one dispatch.
const WIDTH: usize = 7;

params! {
    /// Twin of `Params` in `shaders/cat.wgsl`.
    pub struct CatParams {
        n: u32,
        columns: u32,
        row: u32,
        column: u32,
        ends: [u32; 8],
        offsets: [u32; 8],
        steps: [u32; 8],
    }
}

static FORWARD: Kernel = Kernel {
    name: "cat.forward",
    source: &[include_str!("../../shaders/cat.wgsl")],
    entry: "main",
    bindings: &[
        Binding::Read("x0"),
        Binding::Read("x1"),
        Binding::Read("x2"),
        Binding::Read("x3"),
        Binding::Read("x4"),
        Binding::Read("x5"),
        Binding::Read("x6"),
        // What other dispatches wrote beside it stays.
        Binding::ReadWrite("y"),
    ],
    params: ParamsLayout::of::<CatParams>(),
    variants: Variant::STORAGE,
    grid: |p| Grid::elements(p.get::<CatParams>().n),
    reference: twin,
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &CatParams = call.params();
    let rows = p.n / p.columns;
    // The columns of input k, from and to where.
    let spans = (0..WIDTH).map(|k| (k, if k == 0 { 0 } else { p.ends[k - 1] }, p.ends[k]));
    let places = |k: usize, first: u32, end: u32| {
        (0..rows)
            .flat_map(move |r| (first..end).map(move |j| (r, j, j - first)))
            .map(move |(r, j, i)| ((p.offsets[k] + r * p.steps[k] + i) as usize, (r * p.row + p.column + j) as usize))
    };
    for (k, first, end) in spans {
        match call.variant() {
            0 => {
                let (x, mut y) = (call.floats(k), call.floats_mut(WIDTH));
                places(k, first, end).for_each(|(from, to)| y[to] = x[from]);
            }
            1 => {
                let (x, mut y) = (call.ints(k), call.ints_mut(WIDTH));
                places(k, first, end).for_each(|(from, to)| y[to] = x[from]);
            }
            _ => {
                let (x, mut y) = (call.words(k), call.words_mut(WIDTH));
                places(k, first, end).for_each(|(from, to)| y[to] = x[from]);
            }
        }
    }
    Ok(())
}

/// PyTorch passes over 1-d tensors without elements, whatever the others' shape.
fn is_skipped(shape: &[usize]) -> bool {
    shape == [0]
}

/// The dim and the result's shape.
fn joined(inputs: &[&Tensor], dim: i64) -> Result<(usize, Shape)> {
    const OP: &str = "cat";
    let Some(first) = inputs.first() else {
        return Err(Error::argument(OP, "needs at least one tensor"));
    };
    if let Some(other) = inputs.iter().find(|x| x.dtype() != first.dtype()) {
        let detail = format!(
            "the first tensor holds {}, another one {}; convert with `.to_dtype(..)`",
            first.dtype(),
            other.dtype()
        );
        return Err(Error::dtype(OP, detail));
    }
    let Some(model) = inputs.iter().find(|x| !is_skipped(x.shape())) else {
        return Ok((dim_index(OP, dim, 1)?, smallvec![0]));
    };
    if model.dim() == 0 {
        return Err(Error::shape(OP, "0-d tensors can't be joined; use `Tensor::stack`"));
    }
    let d = dim_index(OP, dim, model.dim())?;
    let mut shape: Shape = model.shape().into();
    shape[d] = 0;
    for x in inputs.iter().filter(|x| !is_skipped(x.shape())) {
        let fits = x.dim() == shape.len() && (0..shape.len()).all(|i| i == d || x.shape()[i] == shape[i]);
        if !fits {
            let detail = format!("shapes {:?} and {:?} differ in more than dim {d}", model.shape(), x.shape());
            return Err(Error::shape(OP, detail));
        }
        shape[d] += x.shape()[d];
    }
    checked_numel(OP, &shape)?;
    Ok((d, shape))
}

/// Inputs side by side that one dispatch writes.
#[derive(Default)]
struct Group<'a> {
    inputs: SmallVec<[&'a Tensor; WIDTH]>,
    params: Option<CatParams>,
}

impl<'a> Group<'a> {
    /// Adds an input whose rows are `step` apart.
    fn push(&mut self, x: &'a Tensor, step: u32, columns: u32, row: u32, column: u32) {
        let empty = CatParams { n: 0, columns: 0, row, column, ends: [0; 8], offsets: [0; 8], steps: [0; 8] };
        let p = self.params.get_or_insert(empty);
        let k = self.inputs.len();
        (p.offsets[k], p.steps[k]) = (x.offset() as u32, step);
        p.n += x.numel() as u32;
        p.columns += columns;
        p.ends[k..].fill(p.columns);
        self.inputs.push(x);
    }

    fn write(&mut self, call: &mut Call<'_>, y: &Tensor) {
        let Some(params) = self.params.take() else { return };
        // What is not there is bound to the first input and never read.
        let input = |k: usize| *self.inputs.get(k).unwrap_or(&self.inputs[0]);
        let operands: SmallVec<[&Tensor; 8]> = (0..WIDTH).map(input).chain([y]).collect();
        call.dispatch(&FORWARD, y.dtype().storage_variant(), &operands, &params);
        self.inputs.clear();
    }
}

/// The step from row to row if the elements of each row, the dims from `d` on, lie in one piece.
fn row_step(x: &Tensor, d: usize) -> Option<u32> {
    let (walk, before) = Walk::new("cat", x.shape(), [x.strides()], d).ok()?;
    let (before, behind) = (before as usize, (walk.rank - before) as usize);
    let in_one_piece = behind == 0 || behind == 1 && walk.strides[0][before] == 1;
    (before <= 1 && in_one_piece).then(|| if before == 0 { 0 } else { walk.strides[0][0] })
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (d, shape) = joined(call.inputs(), call.attrs().get_int("dim"))?;
    let dtype = call.input(0).dtype();
    let y = call.output(dtype, &shape);
    let strides = contiguous_strides(&shape);
    let row = numel(&shape[d..]) as u32;
    let (mut group, mut start) = (Group::default(), 0);
    for x in call.inputs().iter().copied().filter(|x| x.numel() > 0) {
        let column = (start * strides[d]) as u32;
        match row_step(x, d) {
            Some(step) => {
                group.push(x, step, numel(&x.shape()[d..]) as u32, row, column);
                if group.inputs.len() == WIDTH {
                    group.write(call, &y);
                }
            }
            None => {
                group.write(call, &y);
                let layout = Layout { shape: x.shape().into(), strides: strides.clone(), offset: column as usize };
                let part = y.view_as_layout(layout);
                let params = ElementwiseParams::new(call.op(), x.shape(), &[x, &part], &part)?;
                call.dispatch(copying(&params), x.dtype().storage_variant(), &[x, &part], &params);
            }
        }
        start += x.shape()[d];
    }
    group.write(call, &y);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let d = dim_index("cat", v.attrs().get_int("dim"), v.output_shape(0).len())?;
    let mut start = 0;
    let mut gradients = Gradients::new();
    for i in 0..v.inputs_len() {
        let shape = v.input_shape(i);
        let skipped = is_skipped(shape);
        let length = if skipped { 0 } else { shape[d] };
        gradients.push(match (v.needs(i), skipped) {
            (false, _) => None,
            (true, true) => Some(Tensor::try_full_on(shape, 0.0, DType::F32, v.device())?),
            (true, false) => Some(v.gradient().try_narrow(d as i64, start as i64, length)?),
        });
        start += length;
    }
    Ok(gradients)
}

/// The operation `cat`.
pub(crate) static CAT: Operation = Operation { name: "cat", kernels: &[&FORWARD], forward, vjp: Some(vjp), cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Input};
    let at = |dim: i64| Attrs::new().int("dim", dim);
    let case = |name: &str, shapes: &[&[usize]], dim| {
        Case::new(name, shapes.iter().map(|s| Input::floats(s)).collect()).attrs(at(dim))
    };
    let arranged = |name: &str, arrangement, dim| {
        let odd = Input::floats(&[2, 3, 4]).arranged(arrangement);
        Case::new(name, vec![Input::floats(&[2, 3, 4]), odd.clone(), Input::floats(&[2, 3, 4]), odd]).attrs(at(dim))
    };
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 9).dtype(DType::U32);
    vec![
        case("rows", &[&[2, 3], &[4, 3]], 0),
        case("columns", &[&[2, 3], &[2, 1], &[2, 5]], -1),
        case("middle", &[&[2, 3, 4], &[2, 2, 4]], 1),
        case("seven", &[&[2usize, 3][..]; 7], 1),
        case("many", &[&[3usize, 2][..]; 17], 0),
        case("one", &[&[2, 3]], 1),
        case("single elements", &[&[1], &[1], &[1]], 0),
        case("legacy empty", &[&[0], &[2, 3], &[0], &[2, 2]], 1),
        case("only empty", &[&[0], &[0]], 0),
        case("empty dim", &[&[2, 0, 3], &[2, 2, 3]], 1),
        case("empty result", &[&[0, 3], &[0, 2]], 1),
        arranged("transposed", Arrangement::Transposed, 1),
        arranged("strided", Arrangement::Strided, 0),
        arranged("expanded", Arrangement::Expanded, 2),
        case("large", &[&[33, 257], &[33, 63], &[33, 1]], 1).no_gradcheck(),
        Case::new("extreme", vec![Input::floats(&[17]).fill(EXTREME), Input::floats(&[17]).fill(EXTREME)])
            .attrs(at(0))
            .no_gradcheck(),
        Case::new("mixed", vec![Input::floats(&[2, 2]), Input::floats(&[3, 2]).constant()]).attrs(at(0)),
        Case::new("i32", vec![Input::ints(&[2, 3], -9, 9), Input::ints(&[2, 2], -9, 9)]).attrs(at(1)),
        Case::new("u32", vec![unsigned(&[3, 2]), unsigned(&[1, 2])]).attrs(at(0)),
        Case::new("bool", vec![Input::bools(&[70]), Input::bools(&[3])]).attrs(at(0)),
        Case::new("dtypes", vec![Input::floats(&[2]), Input::ints(&[2], 0, 2)]).attrs(at(0)).fails(),
        case("0-d", &[&[], &[]], 0).fails(),
        case("other sizes", &[&[2, 3], &[3, 3]], 1).fails(),
        case("other rank", &[&[2, 3], &[2, 3, 1]], 1).fails(),
        case("bad dim", &[&[2, 3]], 2).fails(),
    ]
}

/// Joining.
impl Tensor {
    /// These tensors one behind the other along a dim; their other dims must agree. 1-d tensors without elements are passed
    /// over.
    ///
    /// # Panics
    /// When there is no tensor, or their shapes, types or devices do not fit.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (a, b) = (Tensor::from_slice(&[1.0f32, 2.0], &[2, 1]), Tensor::from_slice(&[3.0f32, 4.0], &[2, 1]));
    /// assert_eq!(Tensor::cat(&[&a, &b], 0).shape(), [4, 1]);
    /// assert_eq!(Tensor::cat(&[&a, &b], 1).to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    /// // A list of tensors will do as well as one of references.
    /// let rows: Vec<Tensor> = (0..3).map(|i| Tensor::full(&[1, 2], f64::from(i))).collect();
    /// assert_eq!(Tensor::cat(&rows, 0).shape(), [3, 2]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn cat(tensors: &[impl Borrow<Tensor>], dim: i64) -> Tensor {
        let _caller = CallerScope::enter();
        or_panic(cat(&borrowed(tensors), dim))
    }

    /// [`Tensor::cat`], with mistakes as errors.
    ///
    /// # Errors
    /// A mistake in the arguments, or a failure of the device.
    #[track_caller]
    pub fn try_cat(tensors: &[impl Borrow<Tensor>], dim: i64) -> Result<Tensor> {
        let _caller = CallerScope::enter();
        cat(&borrowed(tensors), dim)?.healthy()
    }

    /// These tensors of one shape side by side along a new dim.
    ///
    /// # Panics
    /// When there is no tensor, or their shapes, types or devices differ.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (a, b) = (Tensor::from_slice(&[1.0f32, 2.0], &[2]), Tensor::from_slice(&[3.0f32, 4.0], &[2]));
    /// assert_eq!(Tensor::stack(&[&a, &b], 0).to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// assert_eq!(Tensor::stack(&[&a, &b], -1).to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn stack(tensors: &[impl Borrow<Tensor>], dim: i64) -> Tensor {
        let _caller = CallerScope::enter();
        or_panic(stack(&borrowed(tensors), dim))
    }

    /// [`Tensor::stack`], with mistakes as errors.
    ///
    /// # Errors
    /// A mistake in the arguments, or a failure of the device.
    #[track_caller]
    pub fn try_stack(tensors: &[impl Borrow<Tensor>], dim: i64) -> Result<Tensor> {
        let _caller = CallerScope::enter();
        stack(&borrowed(tensors), dim)?.healthy()
    }
}

/// Lists of tensors may own them or not.
pub(super) fn borrowed(tensors: &[impl Borrow<Tensor>]) -> Vec<&Tensor> {
    tensors.iter().map(Borrow::borrow).collect()
}

fn cat(tensors: &[&Tensor], dim: i64) -> Result<Tensor> {
    // Without an input there is no device to run on.
    if tensors.is_empty() {
        return Err(Error::argument("cat", "needs at least one tensor"));
    }
    single(apply(&CAT, tensors, Attrs::new().int("dim", dim)))
}

fn stack(tensors: &[&Tensor], dim: i64) -> Result<Tensor> {
    let Some(first) = tensors.first() else {
        return Err(Error::argument("stack", "needs at least one tensor"));
    };
    if let Some(other) = tensors.iter().find(|x| x.shape() != first.shape()) {
        let detail = format!("the tensors must have one shape, not {:?} and {:?}", first.shape(), other.shape());
        return Err(Error::shape("stack", detail));
    }
    let d = dim_index("stack", dim, first.dim() + 1)?;
    let rows = tensors.iter().map(|x| x.try_unsqueeze(d as i64)).collect::<Result<Vec<_>>>()?;
    cat(&rows.iter().collect::<Vec<_>>(), d as i64)
}
