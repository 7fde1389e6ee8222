//! What divisions with a rest share: of floats they are exact, and whole numbers divided by 0 are an error.
//!
//! The error comes as that of a bad index does: the kernel notes the fault, and the next read returns it.

use smallvec::smallvec;

use super::twins::computes_with;
use super::{Elementwise, ElementwiseParams, binary_gradient, binary_twin, check_number};
use crate::dtype::DType;
use crate::engine::{Bound, HostCall};
use crate::ops::{Attrs, Gradients, Vjp, cases};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Declares a division of tensors and one by a number: their kernels, from `divided` of the shader of that name, and their rows of
/// the registry. `right` names the kernels of the second tensor's gradient, which asks for both tensors.
macro_rules! division {
    (
        $tensors:ident, $number:ident, $name:literal,
        float: $float:expr,
        int: $int:expr,
        bound: $bound:expr,
        $(right: $right:ident,)?
        vjp: $vjp:expr,
        cases: [$of_tensors:expr, $of_numbers:expr] $(,)?
    ) => {
        static FORWARD: $crate::ops::elementwise::Elementwise = $crate::ops::elementwise::kernels!(
            concat!($name, ".forward"), "binary", ["division", $name],
            [
                $crate::engine::Binding::Read("x"),
                $crate::engine::Binding::Read("y"),
                $crate::engine::Binding::Write("z"),
                $crate::engine::Binding::Faults
            ],
            $crate::ops::elementwise::NUMERIC,
            |call| $crate::ops::elementwise::division::twin(call, $float, $int),
            $bound,
        );
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $tensors: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: $crate::ops::elementwise::every_kernel!(FORWARD $(, $right)?),
            forward: |call| {
                let right: &[&$crate::ops::elementwise::Elementwise] = &[$(&$right)?];
                let saves = !right.is_empty() && call.needs_gradient(1);
                $crate::ops::elementwise::binary_forward(call, &FORWARD, |dtype| dtype, saves)
            },
            vjp: Some($vjp),
            cases: $of_tensors,
        };
        static BY_NUMBER: $crate::ops::elementwise::Elementwise = $crate::ops::elementwise::unary_kernel!(
            @as concat!($name, "_scalar"), ["division_scalar", $name], $crate::ops::elementwise::NUMERIC,
            |call| $crate::ops::elementwise::unary_twin(
                call,
                |x, a| { let divided: fn(f64, f64) -> f64 = $float; divided(x, a[0]) },
                Some(|x, a| { let divided: fn(i64, i64) -> i64 = $int; divided(x, a[0]) })
            ),
            $bound
        );
        #[doc = concat!("The operation `", $name, "_scalar`.")]
        pub(crate) static $number: $crate::ops::Operation = $crate::ops::Operation {
            name: concat!($name, "_scalar"),
            kernels: $crate::ops::elementwise::every_kernel!(BY_NUMBER),
            forward: |call| {
                let nothing = $crate::ops::elementwise::Saves::Nothing;
                $crate::ops::elementwise::unary_forward(
                    call, &BY_NUMBER, $crate::ops::elementwise::scalar_of, nothing
                )
            },
            vjp: Some($vjp),
            cases: $of_numbers,
        };
    };
}
pub(super) use division;

/// The twin of a division of tensors.
pub(super) fn twin(call: &HostCall<'_>, float: fn(f64, f64) -> f64, int: fn(i64, i64) -> i64) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    if computes_with(call) != DType::F32.storage_variant() && (0..p.n).any(|i| call.element(1, p.operand(i, 1)) == 0.0)
    {
        return Err(call.fault(p.extra[0], 0, 0));
    }
    binary_twin(call, float, Some(int))
}

/// The quotient and its product with the gradient are rounded, each by less than a unit.
pub(super) const GRADIENT_BOUND: Bound = Bound::ulps(2.5);

/// `dx = g`; dy by a kernel, for a division of tensors.
pub(super) fn rest_vjp(v: &mut Vjp<'_>, right: &'static Elementwise) -> Result<Gradients> {
    let g = v.gradient();
    let mut gradients: Gradients = smallvec![Some(g.clone())];
    if v.inputs_len() == 2 {
        gradients.push(None);
        if v.needs(1) {
            let (x, y) = (v.saved(0), v.saved(1));
            gradients[1] = Some(binary_gradient(v, 1, right, [g, &x, &y])?);
        }
    }
    Ok(gradients)
}

/// The number that a tensor is divided by: of whole numbers a whole one that their type holds, and not 0.
pub(super) fn divisor(op: &'static str, x: &Tensor, value: f64) -> Result<Attrs> {
    check_number(op, x, value)?;
    if value == 0.0 && !x.dtype().is_float() {
        return Err(Error::argument(op, "whole numbers can't be divided by 0"));
    }
    Ok(Attrs::new().float("other", value))
}

/// Quotients of all sizes and signs, of whole numbers too.
pub(super) fn cases_of_tensors() -> Vec<cases::Case> {
    use cases::{Case, Fill, Input};
    let mut list = cases::binary_numeric();
    let outer = |name: &str, x: &'static [f64], y: &'static [f64], dtype| {
        let input =
            |values: &'static [f64], shape: &[usize]| Input::floats(shape).fill(Fill::Values(values)).dtype(dtype);
        Case::new(name, vec![input(x, &[x.len(), 1]), input(y, &[y.len()])]).no_gradcheck()
    };
    const LARGE: &[f64] = &[1e30, -3e38, 7.5e9, -12345.678, 16777215.0, 2.0, 1.0, -0.99999994, 1.2e-38];
    const SMALL: &[f64] = &[0.3, -1e-30, 3.0, -0.7, 1.5e-38, 65537.0, -5e-7];
    list.push(outer("large quotients", LARGE, SMALL, DType::F32));
    const SIGNED: &[f64] = &[-2147483648.0, 2147483648.0, -7.0, 7.0, 1.0, -1.0, 0.0, 6.0, -1073741824.0];
    const DIVISORS: &[f64] = &[-1.0, 1.0, 3.0, -3.0, 2147483648.0, -2147483648.0, 65536.0, -7.0];
    list.push(outer("i32 of all signs", SIGNED, DIVISORS, DType::I32));
    const UNSIGNED: &[f64] = &[0.0, 1.0, 7.0, 2147483648.0, 4294967040.0];
    list.push(outer("u32 ends", UNSIGNED, &UNSIGNED[1..], DType::U32));
    list
}

pub(super) fn cases_of_numbers() -> Vec<cases::Case> {
    let mut list = cases::unary_numeric(cases::ANY);
    for case in &mut list {
        let other = match case.inputs[0].dtype {
            DType::I32 => -3.0,
            DType::U32 => 3.0,
            _ => 0.75,
        };
        case.attrs = Attrs::new().float("other", other);
    }
    list
}
