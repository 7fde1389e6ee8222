//! Writing into a tensor's memory: a copy, and a sum.

use smallvec::smallvec;

use super::elementwise::{ChainOp, ChainRule, Elementwise, ElementwiseParams, every_kernel, grid};
use super::{Attrs, Call, Operation, Outputs, apply, cases};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::tensor::shape::broadcast;
use crate::{Error, Result};

macro_rules! assign_kernels {
    ($name:literal, $entry:literal, $twin:expr) => {
        Elementwise::new(
            Kernel {
                name: $name,
                source: &[include_str!("../../shaders/assign.wgsl")],
                entry: $entry,
                bindings: &[Binding::Read("x"), Binding::ReadWrite("y")],
                params: ParamsLayout::of::<ElementwiseParams>(),
                variants: Variant::STORAGE,
                grid,
                reference: $twin,
                bound: |_| Bound::ulps(1.0),
            },
            (
                concat!($name, "_quads"),
                &[
                    include_str!("../../shaders/elementwise/quads.wgsl"),
                    include_str!("../../shaders/assign_quads.wgsl"),
                ],
            ),
            (
                concat!($name, "_rows"),
                &[include_str!("../../shaders/elementwise/rows.wgsl"), include_str!("../../shaders/assign_quads.wgsl")],
            ),
        )
    };
}

/// Copies a strided tensor into the memory of another one of the same shape.
static COPY: Elementwise = assign_kernels!("assign.copy", "copy", |c| twin(c, |_, x| x, |_, x| x));
static ADD: Elementwise = assign_kernels!("assign.add", "add", |c| twin(c, |y, x| y + x, |y, x| y.wrapping_add(x)));

/// The kernel that copies operand 0 into operand 1.
pub(crate) fn copying(params: &ElementwiseParams) -> &'static Kernel {
    kernel_of(&COPY, params)
}

/// By fours only into elements that lie side by side.
fn kernel_of(kernels: &'static Elementwise, params: &ElementwiseParams) -> &'static Kernel {
    if params.last_step(1) == 1 { kernels.of(params) } else { &kernels.each }
}

fn twin(call: &HostCall<'_>, floats: fn(f64, f64) -> f64, ints: fn(i64, i64) -> i64) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let places = (0..p.n).map(|i| (p.operand(i, 0), p.operand(i, 1)));
    match call.variant() {
        0 => {
            let (x, mut y) = (call.floats(0), call.floats_mut(1));
            places.for_each(|(from, to)| y[to] = floats(y[to], x[from]));
        }
        1 => {
            let (x, mut y) = (call.ints(0), call.ints_mut(1));
            places.for_each(|(from, to)| y[to] = ints(i64::from(y[to]), i64::from(x[from])) as i32);
        }
        _ => {
            let (x, mut y) = (call.words(0), call.words_mut(1));
            places.for_each(|(from, to)| y[to] = ints(i64::from(y[to]), i64::from(x[from])) as u32);
        }
    }
    Ok(())
}

fn forward(call: &mut Call<'_>, kernels: &'static Elementwise, rule: ChainRule) -> Result<Outputs> {
    let (target, source) = (call.input(0), call.input(1));
    if target.dtype() != source.dtype() {
        let detail = format!("the target holds {}, the source {}", target.dtype(), source.dtype());
        return Err(Error::dtype(call.op(), detail));
    }
    if broadcast(call.op(), target.shape(), source.shape())?.as_slice() != target.shape() {
        let detail =
            format!("a source of shape {:?} does not fit a target of shape {:?}", source.shape(), target.shape());
        return Err(Error::shape(call.op(), detail));
    }
    // A kernel can't read and write one buffer: views of one storage go through a copy.
    let copied;
    let same = matches!((source.buffer(), target.buffer()), (Ok(a), Ok(b)) if std::sync::Arc::ptr_eq(a, b));
    let source = if same {
        copied = source.detach().try_copy()?;
        &copied
    } else {
        source
    };
    let params = ElementwiseParams::new(call.op(), target.shape(), &[source, target], target)?;
    let variant = target.dtype().storage_variant();
    let step = if target.dtype() == DType::F32 { params.step_in_place(rule, 1) } else { None };
    call.dispatch_step(kernel_of(kernels, &params), variant, &[source, target], &params, step);
    target.bump_version();
    Ok(smallvec![])
}

/// The operation `copy_`.
pub(crate) static ASSIGN: Operation = Operation {
    name: "copy_",
    kernels: every_kernel!(COPY),
    forward: |call| forward(call, &COPY, (ChainOp::Copy, &[0])),
    vjp: None,
    cases,
};

/// The operation `add_`.
pub(crate) static ADD_IN_PLACE: Operation = Operation {
    name: "add_",
    kernels: every_kernel!(ADD),
    forward: |call| forward(call, &ADD, (ChainOp::Add, &[1, 0])),
    vjp: None,
    cases,
};

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 9).dtype(crate::DType::U32);
    let mut list = vec![
        Case::new("typical", vec![Input::floats(&[4, 6]), Input::floats(&[4, 6])]),
        Case::new("broadcast", vec![Input::floats(&[3, 5]), Input::floats(&[5])]),
        Case::new(
            "strided",
            vec![
                Input::floats(&[2, 3, 4]).arranged(Arrangement::Strided),
                Input::floats(&[2, 3, 4]).arranged(Arrangement::Transposed),
            ],
        ),
        Case::new("i32", vec![Input::ints(&[3, 7], -9, 9), Input::ints(&[7], -9, 9)]),
        Case::new("u32", vec![unsigned(&[3, 7]), unsigned(&[7])]),
        Case::new("empty", vec![Input::floats(&[0, 3]), Input::floats(&[3])]),
        Case::new("grows", vec![Input::floats(&[3]), Input::floats(&[2, 3])]).fails(),
        Case::new("dtypes", vec![Input::floats(&[3]), Input::ints(&[3], 0, 2)]).fails(),
    ];
    let lies = [
        ("quads", [3, 8], Arrangement::Contiguous, [3, 8]),
        ("rows", [3, 8], Arrangement::Contiguous, [1, 8]),
        ("repeated elements", [3, 8], Arrangement::Contiguous, [3, 1]),
        ("every second in vectors", [3, 8], Arrangement::Strided, [3, 8]),
    ];
    for (name, target, arrangement, source) in lies {
        let with = |what: &str, input: &dyn Fn(&[usize]) -> Input| {
            Case::new(format!("{name}{what}"), vec![input(&target).arranged(arrangement), input(&source)])
        };
        list.push(with("", &Input::floats));
        list.push(with(" of i32", &|shape| Input::ints(shape, -9, 9)));
        list.push(with(" of u32", &unsigned));
    }
    list.iter_mut().for_each(|c| c.gradcheck = false);
    list
}

/// Copies `source` into the memory of `target`, whatever the graph says.
pub(crate) fn assign(target: &Tensor, source: &Tensor) -> Result<()> {
    apply(&ASSIGN, &[target, source], Attrs::new()).map(|_| ())
}
