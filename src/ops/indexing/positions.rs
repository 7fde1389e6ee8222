//! `positions`: what indices of several dims name, as one index of all of them together: `before · size + index`, dim by
//! dim. An index below 0 counts from the end of its dim, as everywhere where a tensor is indexed by tensors.

use smallvec::smallvec;

use super::check_index;
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant, fault};
use crate::ops::elementwise::{ElementwiseParams, grid};
use crate::ops::{Attrs, Call, Operation, Outputs, apply, cases, single};
use crate::tensor::Tensor;
use crate::tensor::shape::broadcast;

static FORWARD: Kernel = Kernel {
    name: "positions.forward",
    source: &[include_str!("../../../shaders/indexing/positions.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("index"), Binding::Read("before"), Binding::Write("y"), Binding::Faults],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: Variant::ONLY,
    grid,
    reference: twin,
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (index, before, mut y) = (call.ints(0), call.ints(1), call.ints_mut(2));
    let [size, more, site, _] = p.scalars.map(|s| s as i32);
    for i in 0..p.n {
        let k = index[p.operand(i, 0)];
        if k < -size || k >= size {
            return Err(call.fault(site as u32, i64::from(k), i64::from(size)));
        }
        let first = if more != 0 { before[p.operand(i, 1)].wrapping_mul(size) } else { 0 };
        y[p.result(i)] = first.wrapping_add(k.rem_euclid(size));
    }
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (index, before) = (call.input(0), call.inputs().get(1).copied());
    let op = call.op();
    check_index(op, index)?;
    let other = before.unwrap_or(index);
    let shape = broadcast(op, index.shape(), other.shape())?;
    let y = call.output(DType::I32, &shape);
    let mut params = ElementwiseParams::new(op, &shape, &[index, other], &y)?;
    params.scalars = [call.attrs().get_int("size") as u32, u32::from(before.is_some()), fault::site("index"), 0];
    call.dispatch(&FORWARD, 0, &[index, other, &y], &params);
    Ok(smallvec![y])
}

/// The operation `positions`: inputs an index and, if there were dims before, the number so far.
pub(crate) static POSITIONS: Operation =
    Operation { name: "positions", kernels: &[&FORWARD], forward, vjp: None, cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let case = |name: &str, inputs: Vec<Input>, size| Case::new(name, inputs).attrs(Attrs::new().int("size", size));
    let index = |shape: &[usize]| Input::ints(shape, -5, 5);
    vec![
        case("one dim", vec![index(&[3, 7])], 5),
        case("two dims", vec![index(&[3, 7]), Input::ints(&[3, 7], 0, 9)], 5),
        case("broadcast", vec![index(&[3, 1]), Input::ints(&[7], 0, 9)], 5),
        case("0-d", vec![index(&[])], 5),
        case("empty", vec![index(&[0])], 5),
        case("transposed", vec![index(&[3, 7]).arranged(Arrangement::Transposed), index(&[3, 7])], 6),
        case("floats", vec![Input::floats(&[3])], 5).fails(),
        case("shapes", vec![index(&[3]), index(&[2])], 5).fails(),
    ]
}

/// The indices of dims of these sizes, broadcast, as one index of all of them together.
pub(crate) fn positions(indices: &[&Tensor], sizes: &[usize]) -> Result<Tensor> {
    let mut so_far: Option<Tensor> = None;
    for (index, &size) in indices.iter().zip(sizes) {
        let attrs = Attrs::new().int("size", size as i64);
        so_far = Some(single(match &so_far {
            Some(before) => apply(&POSITIONS, &[*index, before], attrs),
            None => apply(&POSITIONS, &[*index], attrs),
        })?);
    }
    Ok(so_far.expect("at least one dim is indexed"))
}
