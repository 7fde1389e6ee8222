//! `x = y`, `x ≠ y`, `x < y`, `x ≤ y`, `x > y`, `x ≥ y`, between tensors and with a number: truth values, without gradient.
//!
//! With NaN on either side only `≠` holds. Floats are compared by their bits, since compilers may assume that there is no
//! NaN. <https://pytorch.org/docs/stable/torch.html#comparison-ops>

use super::{
    COMPARISON, Elementwise, ElementwiseParams, as_float, binary_apply, binary_forward, binary_kernel, every_kernel,
    scalar_bits, scalar_of, unary_apply, unary_kernel, unary_test,
};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Bound, HostCall};
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

/// Declares the relation NAME between tensors, and with a number.
macro_rules! comparison {
    ($tensors:ident, $number:ident, $name:literal, $relation:expr) => {
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $tensors: Operation = {
            static FORWARD: Elementwise = binary_kernel!(
                @as $name, ["compare", concat!("compare_", $name)], COMPARISON, |call| compare_twin(call, $relation), Bound::Exact
            );
            Operation {
                name: $name,
                kernels: every_kernel!(FORWARD),
                forward: |call| binary_forward(call, &FORWARD, |_| DType::Bool, false),
                vjp: None,
                cases: cases_of_tensors,
            }
        };
        #[doc = concat!("The operation `", $name, "_scalar`.")]
        pub(crate) static $number: Operation = {
            static FORWARD: Elementwise = unary_kernel!(
                @as concat!($name, "_scalar"), ["compare_scalar", concat!("compare_", $name)], COMPARISON,
                |call| compare_twin(call, $relation), Bound::Exact
            );
            Operation {
                name: concat!($name, "_scalar"),
                kernels: every_kernel!(FORWARD),
                forward: |call| unary_test(call, &FORWARD, scalar_of),
                vjp: None,
                cases: cases_of_numbers,
            }
        };
    };
}
comparison!(EQ, EQ_SCALAR, "eq", |x, y| x == y);
comparison!(NE, NE_SCALAR, "ne", |x, y| x != y);
comparison!(LT, LT_SCALAR, "lt", |x, y| x < y);
comparison!(LE, LE_SCALAR, "le", |x, y| x <= y);
comparison!(GT, GT_SCALAR, "gt", |x, y| x > y);
comparison!(GE, GE_SCALAR, "ge", |x, y| x >= y);

/// The twin of both forms: the second operand is a tensor, or the number in the params. All types are exact in f64.
fn compare_twin(call: &HostCall<'_>, relation: fn(f64, f64) -> bool) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let result = call.operands() - 1;
    let other = |i: u32| match result {
        1 => number(p.scalars[0], call.variant()),
        _ => call.element(1, p.operand(i, 1)),
    };
    let mut z = call.words_mut(result);
    (0..p.n).for_each(|i| z[p.result(i)] = u32::from(relation(call.element(0, p.operand(i, 0)), other(i))));
    Ok(())
}

/// A number from its bits, in the type of a variant.
fn number(bits: u32, variant: usize) -> f64 {
    match variant {
        0 => f64::from(f32::from_bits(bits)),
        1 => f64::from(bits as i32),
        _ => f64::from(bits),
    }
}

/// Whether a number of this type is this one; floats take any.
pub(super) fn holds(dtype: DType, value: f64) -> bool {
    dtype.is_float() || number(scalar_bits([value, 0.0, 0.0, 0.0], dtype)[0], dtype.storage_variant()) == value
}

/// Compares with a number. One that the tensor's type cannot hold is compared in floats, as in PyTorch.
fn with_number(operation: &'static Operation, x: &Tensor, other: f64) -> Result<Tensor> {
    let attrs = Attrs::new().float("other", other);
    if holds(x.dtype(), other) {
        unary_apply(operation, x, attrs)
    } else {
        unary_apply(operation, &as_float(x)?, attrs)
    }
}

fn cases_of_tensors() -> Vec<cases::Case> {
    use cases::{Case, EXTREME, Fill, Input, binary};
    // Whole numbers, so that some are equal.
    let mut list = binary(Fill::Whole(-2, 3));
    list.push(Case::new("i32", vec![Input::ints(&[3, 7], -2, 3), Input::ints(&[7], -2, 3)]));
    let unsigned = |shape: &[usize]| Input::ints(shape, 0, 3).dtype(DType::U32);
    list.push(Case::new("u32", vec![unsigned(&[3, 7]), unsigned(&[7])]));
    list.push(Case::new("i32 in quads", vec![Input::ints(&[3, 8], -2, 3); 2]));
    list.push(Case::new("u32 in quads", vec![unsigned(&[3, 8]), unsigned(&[3, 8])]));
    list.push(Case::new("i32 rows", vec![Input::ints(&[3, 8], -2, 3), Input::ints(&[8], -2, 3)]));
    list.push(Case::new("u32 rows", vec![unsigned(&[3, 8]), unsigned(&[3, 1])]));
    list.push(Case::new("extreme in quads", vec![Input::floats(&[20]).fill(EXTREME); 2]));
    let ends = Fill::Values(&[0.0, 1.0, 2147483648.0, 4294967040.0]);
    list.push(Case::new("u32 ends", vec![unsigned(&[4, 1]).fill(ends), unsigned(&[4]).fill(ends)]));
    list.push(Case::new("bool", vec![Input::bools(&[3, 7]), Input::bools(&[7])]));
    list.push(Case::new("denormal", vec![Input::floats(&[3]).fill(Fill::Values(&[1e-40, 0.0, -1e-40])); 2]));
    list.push(Case::new("types", vec![Input::floats(&[17]).fill(EXTREME), Input::ints(&[17], 0, 3)]).fails());
    list
}

fn cases_of_numbers() -> Vec<cases::Case> {
    use cases::{Case, Fill, Input, unary, with_attrs};
    let with = |list, other| with_attrs(list, Attrs::new().float("other", other));
    let mut list = with(unary(Fill::Whole(-2, 3)), 1.0);
    let extreme = Input::floats(&[17]).fill(cases::EXTREME);
    for (name, other) in [("nan", f64::NAN), ("infinity", f64::INFINITY), ("zero", -0.0)] {
        list.extend(with(vec![Case::new(name, vec![extreme.clone()])], other));
    }
    list.extend(with(vec![Case::new("i32", vec![Input::ints(&[3, 7], -2, 3)])], -1.0));
    list.extend(with(vec![Case::new("u32", vec![Input::ints(&[3, 7], 0, 3).dtype(DType::U32)])], 1.0));
    list.extend(with(vec![Case::new("i32 in quads", vec![Input::ints(&[3, 8], -2, 3)])], -1.0));
    list.extend(with(vec![Case::new("bool in quads", vec![Input::bools(&[3, 8])])], 1.0));
    let expanded = cases::Arrangement::Expanded;
    list.extend(with(vec![Case::new("i32 rows", vec![Input::ints(&[3, 8], -2, 3).arranged(expanded)])], -1.0));
    list.extend(with(vec![Case::new("bool rows", vec![Input::bools(&[3, 8]).arranged(expanded)])], 1.0));
    list.extend(with(vec![Case::new("bool", vec![Input::bools(&[3, 7])])], 1.0));
    list
}

methods! {
    /// Where each element equals that of `other`, broadcast, as truth values. NaN equals nothing.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, f32::NAN, 3.0], &[3]);
    /// assert_eq!(x.eq(&x).to_vec::<bool>()?, [true, false, true]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn eq / try_eq (&self, other: &Tensor) -> Tensor {
        binary_apply(&EQ, self, other)
    }

    /// Where each element equals a number, as truth values. NaN equals nothing.
    pub fn eq_scalar / try_eq_scalar (&self, other: f64) -> Tensor {
        with_number(&EQ_SCALAR, self, other)
    }

    /// Where each element differs from that of `other`, broadcast, as truth values. NaN differs from everything.
    pub fn ne / try_ne (&self, other: &Tensor) -> Tensor {
        binary_apply(&NE, self, other)
    }

    /// Where each element differs from a number, as truth values. NaN differs from everything.
    pub fn ne_scalar / try_ne_scalar (&self, other: f64) -> Tensor {
        with_number(&NE_SCALAR, self, other)
    }

    /// Where each element is below that of `other`, broadcast, as truth values.
    pub fn lt / try_lt (&self, other: &Tensor) -> Tensor {
        binary_apply(&LT, self, other)
    }

    /// Where each element is below a number, as truth values.
    pub fn lt_scalar / try_lt_scalar (&self, other: f64) -> Tensor {
        with_number(&LT_SCALAR, self, other)
    }

    /// Where each element is at most that of `other`, broadcast, as truth values.
    pub fn le / try_le (&self, other: &Tensor) -> Tensor {
        binary_apply(&LE, self, other)
    }

    /// Where each element is at most a number, as truth values.
    pub fn le_scalar / try_le_scalar (&self, other: f64) -> Tensor {
        with_number(&LE_SCALAR, self, other)
    }

    /// Where each element is above that of `other`, broadcast, as truth values.
    pub fn gt / try_gt (&self, other: &Tensor) -> Tensor {
        binary_apply(&GT, self, other)
    }

    /// Where each element is above a number, as truth values.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-1, 0, 3], &[3]);
    /// assert_eq!(x.gt_scalar(0.5).to_vec::<bool>()?, [false, false, true]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn gt_scalar / try_gt_scalar (&self, other: f64) -> Tensor {
        with_number(&GT_SCALAR, self, other)
    }

    /// Where each element is at least that of `other`, broadcast, as truth values.
    pub fn ge / try_ge (&self, other: &Tensor) -> Tensor {
        binary_apply(&GE, self, other)
    }

    /// Where each element is at least a number, as truth values.
    pub fn ge_scalar / try_ge_scalar (&self, other: f64) -> Tensor {
        with_number(&GE_SCALAR, self, other)
    }
}
