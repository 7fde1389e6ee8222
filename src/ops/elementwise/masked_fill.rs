//! A number where a mask holds, and x elsewhere; the gradient passes elsewhere.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.masked_fill.html>

use smallvec::smallvec;

use super::where_::{BACKWARD_OTHER, check_condition, masked_gradient};
use super::{BITS, Elementwise, ElementwiseParams, every_kernel, kernels, scalar_attr, scalar_bits, scalar_of};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall};
use crate::ops::{Attrs, Call, Operation, Outputs, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::broadcast;

static FORWARD: Elementwise = kernels!(
    "masked_fill.forward",
    "binary",
    ["masked_fill"],
    [Binding::Read("x"), Binding::Read("y"), Binding::Write("z")],
    BITS,
    twin,
    Bound::Exact,
);

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (mask, bits) = (call.words(0), p.scalars[0]);
    let holds = |i: u32| mask[p.operand(i, 0)] != 0;
    match call.variant() {
        0 => {
            let (x, mut z) = (call.floats(1), call.floats_mut(2));
            let value = f64::from(f32::from_bits(bits));
            (0..p.n).for_each(|i| z[p.result(i)] = if holds(i) { value } else { x[p.operand(i, 1)] });
        }
        1 => {
            let (x, mut z) = (call.ints(1), call.ints_mut(2));
            (0..p.n).for_each(|i| z[p.result(i)] = if holds(i) { bits as i32 } else { x[p.operand(i, 1)] });
        }
        _ => {
            let (x, mut z) = (call.words(1), call.words_mut(2));
            (0..p.n).for_each(|i| z[p.result(i)] = if holds(i) { bits } else { x[p.operand(i, 1)] });
        }
    }
    Ok(())
}

/// The operation `masked_fill`: inputs x and the mask.
pub(crate) static MASKED_FILL: Operation = Operation {
    name: "masked_fill",
    kernels: every_kernel!(FORWARD),
    forward,
    vjp: Some(|v| {
        let mask = v.saved(0);
        Ok(smallvec![Some(masked_gradient(v, 0, &BACKWARD_OTHER, &mask)?), None])
    }),
    cases,
};

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, mask) = (call.input(0), call.input(1));
    check_condition(call.op(), mask)?;
    let shape = broadcast(call.op(), x.shape(), mask.shape())?;
    let z = call.output(x.dtype(), &shape);
    let mut params = ElementwiseParams::new(call.op(), &shape, &[mask, x], &z)?;
    params.scalars = scalar_bits(scalar_of(call.attrs()), x.dtype());
    call.dispatch(FORWARD.of(&params), x.dtype().storage_variant(), &[mask, x, &z], &params);
    call.save(mask);
    Ok(smallvec![z])
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Input};
    let (bools, floats) = (Input::bools, Input::floats);
    let with = |value: f64, list: Vec<Case>| cases::with_attrs(list, Attrs::new().float("other", value));
    let mut list = with(
        -1.5,
        vec![
            Case::new("typical", vec![floats(&[4, 6]), bools(&[4, 6])]),
            Case::new("row", vec![floats(&[3, 5]), bools(&[5])]),
            Case::new("wide mask", vec![floats(&[5]), bools(&[3, 1])]),
            Case::new("quads", vec![floats(&[3, 8]), bools(&[3, 8])]),
            Case::new("rows", vec![floats(&[3, 8]), bools(&[8])]),
            Case::new("repeated mask", vec![floats(&[3, 8]), bools(&[3, 1])]),
            Case::new("0-d", vec![floats(&[]), bools(&[])]),
            Case::new("empty", vec![floats(&[0, 3]), bools(&[3])]),
            Case::new("transposed", vec![floats(&[5, 3]).arranged(Arrangement::Transposed), bools(&[5, 3])]),
            Case::new("strided", vec![floats(&[5, 3]), bools(&[5, 3]).arranged(Arrangement::Strided)]),
            Case::new("large", vec![floats(&[130, 65]), bools(&[65])]).no_gradcheck(),
            Case::new("extreme", vec![floats(&[17]).fill(EXTREME), bools(&[17])]).no_gradcheck(),
            Case::new("shapes", vec![floats(&[2, 3]), bools(&[2])]).fails(),
            Case::new("mask", vec![floats(&[3]), floats(&[3])]).fails(),
        ],
    );
    list.extend(with(
        f64::NEG_INFINITY,
        vec![Case::new("infinity", vec![floats(&[3, 5]), bools(&[5])]).no_gradcheck()],
    ));
    let signed = |shape: &[usize]| Input::ints(shape, -9, 9);
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 9).dtype(DType::U32);
    let shapes: [(&str, [&[usize]; 2]); 3] =
        [("", [&[3, 7], &[7]]), ("quads of ", [&[3, 8], &[3, 8]]), ("rows of ", [&[3, 8], &[8]])];
    for (lie, [x, mask]) in shapes {
        list.extend(with(-7.0, vec![Case::new(format!("{lie}i32"), vec![signed(x), bools(mask)])]));
        list.extend(with(7.0, vec![Case::new(format!("{lie}u32"), vec![unsigned(x), bools(mask)])]));
    }
    list.extend(with(1.0, vec![Case::new("bool", vec![bools(&[3, 7]), bools(&[7])])]));
    list
}

methods! {
    /// `value` where `mask` is true, and these elements where it is false, broadcast.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// let mask = Tensor::from_slice(&[false, true], &[2]);
    /// assert_eq!(x.masked_fill(&mask, f64::NEG_INFINITY).to_vec::<f32>()?, [1.0, f32::NEG_INFINITY]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `mask` is not bool; for a tensor of integers when `value` is not whole.
    pub fn masked_fill / try_masked_fill (&self, mask: &Tensor, value: f64) -> Tensor {
        let attrs = match self.dtype() {
            DType::Bool => Attrs::new().float("other", f64::from(u8::from(value != 0.0))),
            _ => scalar_attr("masked_fill", self, value)?,
        };
        single(apply(&MASKED_FILL, &[self, mask], attrs))
    }
}
