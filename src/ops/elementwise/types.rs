//! The types that operands are brought to.

use super::compare::holds;
use super::scalar_attr;
use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The tensor itself when it holds floats, else as f32.
pub(crate) fn as_float(x: &Tensor) -> Result<Tensor> {
    if x.dtype().is_float() { Ok(x.clone()) } else { x.try_to_dtype(DType::F32) }
}

/// Two operands of an operation of the reals: when neither holds floats, both as f32.
pub(crate) fn with_floats(x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
    if x.dtype().is_float() || y.dtype().is_float() {
        return Ok((x.clone(), y.clone()));
    }
    Ok((as_float(x)?, as_float(y)?))
}

/// Refuses a number that elements of this tensor can't be.
pub(crate) fn check_number(op: &'static str, x: &Tensor, value: f64) -> Result<()> {
    scalar_attr(op, x, value)?;
    if holds(x.dtype(), value) {
        return Ok(());
    }
    let detail = format!("the tensor's type, {}, does not hold {value}; convert it first", x.dtype());
    Err(Error::dtype(op, detail))
}

/// A number as a tensor of the other operand's type.
pub(crate) fn number_like(op: &'static str, number: f64, other: &Tensor) -> Result<Tensor> {
    check_number(op, other, number)?;
    Tensor::try_full_on(&[], number, other.dtype(), other.device())
}

/// [`promoted`], where a number without dims does not widen a tensor of floats.
pub(crate) fn common_type(x: &Tensor, y: &Tensor) -> DType {
    match (x.dim(), y.dim()) {
        (0, 1..) if x.dtype().is_float() && y.dtype().is_float() => y.dtype(),
        (1.., 0) if x.dtype().is_float() && y.dtype().is_float() => x.dtype(),
        _ => promoted(x.dtype(), y.dtype()),
    }
}

/// The type that PyTorch brings two operands to: bool, then u32, i32, f16 or bf16, f32, which is also what f16 and bf16
/// become together.
fn promoted(x: DType, y: DType) -> DType {
    use DType::{BF16, Bool, F16, F32, I32, U32};
    if x.is_half() && y.is_half() && x != y {
        return F32;
    }
    let rank = |d: DType| [Bool, U32, I32, F16, BF16, F32].iter().position(|&k| k == d);
    if rank(x) > rank(y) { x } else { y }
}
