//! `x` where a condition holds and `y` elsewhere, all three broadcast. The gradient goes to the operand that was taken, the
//! other gets 0, whatever its value.
//!
//! <https://pytorch.org/docs/stable/generated/torch.where.html>

use smallvec::smallvec;

use super::{BITS, Elementwise, ElementwiseParams, FLOAT_BITS, common_type, every_kernel, kernels};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Device, HostCall};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::shape::broadcast;
use crate::tensor::{Tensor, Value};
use crate::{Error, Result};

static FORWARD: Elementwise = kernels!(
    "where.forward",
    "binary_backward",
    ["where_"],
    [Binding::Read("g"), Binding::Read("x"), Binding::Read("y"), Binding::Write("d")],
    BITS,
    twin,
    Bound::Exact,
);

/// The gradient of what is taken where the condition holds.
static BACKWARD_INPUT: Elementwise = kernels!(
    "where.backward_input",
    "binary",
    ["where_input"],
    [Binding::Read("x"), Binding::Read("y"), Binding::Write("z")],
    FLOAT_BITS,
    |c| backward_twin(c, true),
    Bound::Exact,
);

/// The gradient of what is taken elsewhere.
pub(super) static BACKWARD_OTHER: Elementwise = kernels!(
    "where.backward_other",
    "binary",
    ["where_other"],
    [Binding::Read("x"), Binding::Read("y"), Binding::Write("z")],
    FLOAT_BITS,
    |c| backward_twin(c, false),
    Bound::Exact,
);

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let condition = call.words(0);
    let taken = |i: u32| if condition[p.operand(i, 0)] != 0 { 1 } else { 2 };
    match call.variant() {
        0 => {
            let (x, mut z) = ([call.floats(1), call.floats(2)], call.floats_mut(3));
            (0..p.n).for_each(|i| z[p.result(i)] = x[taken(i) - 1][p.operand(i, taken(i))]);
        }
        1 => {
            let (x, mut z) = ([call.ints(1), call.ints(2)], call.ints_mut(3));
            (0..p.n).for_each(|i| z[p.result(i)] = x[taken(i) - 1][p.operand(i, taken(i))]);
        }
        _ => {
            let (x, mut z) = ([call.words(1), call.words(2)], call.words_mut(3));
            (0..p.n).for_each(|i| z[p.result(i)] = x[taken(i) - 1][p.operand(i, taken(i))]);
        }
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, side: bool) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (condition, g, mut d) = (call.words(0), call.floats(1), call.floats_mut(2));
    (0..p.n).for_each(|i| {
        let taken = (condition[p.operand(i, 0)] != 0) == side;
        d[p.result(i)] = if taken { g[p.operand(i, 1)] } else { 0.0 };
    });
    Ok(())
}

/// The operation `where`: inputs condition, x, y.
pub(crate) static WHERE: Operation = Operation {
    name: "where",
    kernels: every_kernel!(FORWARD, BACKWARD_INPUT, BACKWARD_OTHER),
    forward,
    vjp: Some(vjp),
    cases,
};

/// Refuses conditions and masks that are no truth values.
pub(super) fn check_condition(op: &'static str, condition: &Tensor) -> Result<()> {
    if condition.dtype() == DType::Bool {
        return Ok(());
    }
    let detail = format!("the condition must be bool, not {}; compare it with a number", condition.dtype());
    Err(Error::dtype(op, detail))
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (condition, x, y) = (call.input(0), call.input(1), call.input(2));
    check_condition(call.op(), condition)?;
    if x.dtype() != y.dtype() {
        let detail =
            format!("the operands have dtypes {} and {}; convert one with `.to_dtype(..)`", x.dtype(), y.dtype());
        return Err(Error::dtype(call.op(), detail));
    }
    let shape = broadcast(call.op(), condition.shape(), &broadcast(call.op(), x.shape(), y.shape())?)?;
    let z = call.output(x.dtype(), &shape);
    let params = ElementwiseParams::new(call.op(), &shape, &[condition, x, y], &z)?;
    call.dispatch(FORWARD.of(&params), x.dtype().storage_variant(), &[condition, x, y, &z], &params);
    call.save(condition);
    Ok(smallvec![z])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let condition = v.saved(0);
    let mut gradients: Gradients = smallvec![None, None, None];
    for (i, kernels) in [(1, &BACKWARD_INPUT), (2, &BACKWARD_OTHER)] {
        if v.needs(i) {
            gradients[i] = Some(masked_gradient(v, i, kernels, &condition)?);
        }
    }
    Ok(gradients)
}

/// The gradient of input `i`, which was taken on one side of a condition.
pub(super) fn masked_gradient(
    v: &mut Vjp<'_>,
    i: usize,
    kernels: &'static Elementwise,
    condition: &Tensor,
) -> Result<Tensor> {
    let g = v.gradient();
    let d = if v.input_shape(i) == g.shape() { v.gradient_output(i) } else { v.output(DType::F32, g.shape()) };
    let params = ElementwiseParams::new(kernels.each.name, g.shape(), &[condition, g], &d)?;
    v.dispatch(kernels.of(&params), 0, &[condition, g, &d], &params);
    Ok(d)
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Input};
    let (bools, floats) = (Input::bools, Input::floats);
    let case = |name: &str, inputs: [Input; 3]| Case::new(name, inputs.to_vec());
    vec![
        case("typical", [bools(&[4, 6]), floats(&[4, 6]), floats(&[4, 6])]),
        case("broadcast", [bools(&[4, 1]), floats(&[6]), floats(&[2, 1, 1])]),
        case("mask row", [bools(&[5]), floats(&[3, 5]), floats(&[])]),
        case("0-d", [bools(&[]), floats(&[]), floats(&[])]),
        case("empty", [bools(&[0, 3]), floats(&[3]), floats(&[1])]),
        case("transposed", [bools(&[5, 3]).arranged(Arrangement::Transposed), floats(&[5, 3]), floats(&[3])]),
        case("strided", [bools(&[2, 3]), floats(&[2, 3]).arranged(Arrangement::Strided), floats(&[2, 3])]),
        case("expanded", [bools(&[2, 3]), floats(&[2, 3]).arranged(Arrangement::Expanded), floats(&[2, 3])]),
        case("large", [bools(&[130, 65]), floats(&[65]), floats(&[130, 1])]).no_gradcheck(),
        case("extreme", [bools(&[17]), floats(&[17]).fill(EXTREME), floats(&[17]).fill(EXTREME)]).no_gradcheck(),
        case("quads", [bools(&[3, 12]), floats(&[3, 12]).fill(EXTREME), floats(&[3, 12])]).no_gradcheck(),
        case("quads of i32", [bools(&[8]), Input::ints(&[8], -9, 9), Input::ints(&[8], -9, 9)]),
        case("quads of bool", [bools(&[8]), bools(&[8]), bools(&[8])]),
        case("rows", [bools(&[3, 1]), floats(&[3, 8]), floats(&[8])]),
        case("rows of i32", [bools(&[8]), Input::ints(&[3, 8], -9, 9), Input::ints(&[3, 1], -9, 9)]),
        case("rows of bool", [bools(&[8]), bools(&[3, 8]), bools(&[3, 1])]),
        case("i32", [bools(&[3, 7]), Input::ints(&[7], -9, 9), Input::ints(&[3, 7], -9, 9)]),
        case("bool", [bools(&[3, 7]), bools(&[7]), bools(&[3, 1])]),
        case("shapes", [bools(&[2]), floats(&[2, 3]), floats(&[2, 3])]).fails(),
        case("condition", [floats(&[3]), floats(&[3]), floats(&[3])]).fails(),
        case("types", [bools(&[3]), floats(&[3]), Input::ints(&[3], 0, 3)]).fails(),
    ]
}

/// The type of a tensor.
fn dtype_of(value: &Value) -> Option<DType> {
    if let Value::Tensor(x) = value { Some(x.dtype()) } else { None }
}

/// An operand as a tensor: a whole number takes the type of the other operand, any other is a float.
fn operand(device: &Device, value: Value, beside: Option<DType>) -> Result<Tensor> {
    match value {
        Value::Tensor(x) => Ok(x),
        Value::Number(x) => {
            let dtype = beside.filter(|&d| x.fract() == 0.0 && d != DType::Bool).unwrap_or(DType::F32);
            Tensor::try_full_on(&[], x, dtype, device)
        }
    }
}

methods! {
    /// `input` where `self` is true and `other` elsewhere, all three broadcast: PyTorch's `torch.where(condition, input, other)`.
    /// `self` must be bool; the operands are tensors or numbers, and of different types they take the larger one. A whole number
    /// takes the type of the other operand.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-1.0f32, 0.0, 2.0], &[3]);
    /// let y = x.gt_scalar(0.0).where_(&x, 9.0);
    /// assert_eq!(y.to_vec::<f32>()?, [9.0, 9.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn where_ / try_where_ (&self, input: impl Into<Value>, other: impl Into<Value>) -> Tensor {
        let (input, other) = (input.into(), other.into());
        let (left, right) = (dtype_of(&input), dtype_of(&other));
        let (input, other) = (operand(self.device(), input, right)?, operand(self.device(), other, left)?);
        let dtype = common_type(&input, &other);
        let (input, other) = (input.try_to_dtype(dtype)?, other.try_to_dtype(dtype)?);
        single(apply(&WHERE, &[self, &input, &other], Attrs::new()))
    }
}
