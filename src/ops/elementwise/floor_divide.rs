//! `floor(x/y)`, as Python's `//`: `(x − remainder(x, y)) / y`, exactly, then rounded to a float.
//!
//! <https://pytorch.org/docs/stable/generated/torch.floor_divide.html>

use super::division::{self, division, divisor};
use super::{binary_apply_with, unary_apply, zero_vjp};
use crate::engine::Bound;
use crate::ops::{Attrs, Gradients, Vjp, cases, methods};
use crate::tensor::Tensor;
use crate::{Error, Result};

division! {
    FLOOR_DIVIDE, FLOOR_DIVIDE_SCALAR, "floor_divide",
    float: floor_divide,
    int: |x, y| x / y - i64::from(x % y != 0 && (x < 0) != (y < 0)),
    // A whole number that no float holds is rounded.
    bound: Bound::ulps(1.0),
    vjp: vjp,
    cases: [|| graded(division::cases_of_tensors()), || graded(division::cases_of_numbers())],
}

/// Python's `//` on floats.
pub(super) fn floor_divide(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        return x / y;
    }
    let rest = x % y;
    let is_below = rest != 0.0 && (rest < 0.0) != (y < 0.0);
    // Whole but for the rounding.
    let quotient = ((x - rest) / y).round() - f64::from(u8::from(is_below));
    if quotient == 0.0 { quotient.copysign(x / y) } else { quotient }
}

/// 0 for what `div_rounding` made, as in PyTorch, which has no gradient of what `floor_divide` makes.
fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    if v.attrs().get_bool("graded") {
        return zero_vjp(v);
    }
    let detail =
        "floor_divide has no gradient, as in PyTorch; `div_rounding(.., RoundingMode::Floor)` has: 0 everywhere";
    Err(Error::Autograd(detail.into()))
}

fn graded(list: Vec<cases::Case>) -> Vec<cases::Case> {
    list.into_iter().map(|case| cases::Case { attrs: case.attrs.bool("graded", true), ..case }).collect()
}

/// `graded`: whether the result has a gradient.
pub(super) fn of_tensors(x: &Tensor, y: &Tensor, graded: bool) -> Result<Tensor> {
    binary_apply_with(&FLOOR_DIVIDE, x, y, Attrs::new().bool("graded", graded))
}

/// [`of_tensors`] with a number; `op` is what the user called.
pub(super) fn of_number(op: &'static str, x: &Tensor, y: f64, graded: bool) -> Result<Tensor> {
    unary_apply(&FLOOR_DIVIDE_SCALAR, x, divisor(op, x, y)?.bool("graded", graded))
}

methods! {
    /// Each element divided by that of `other`, broadcast, rounded down: `floor(self / other)`, as Python's `//`. Of the exact
    /// quotient: `self` is `other * self.floor_divide(other) + self.remainder(other)`. A float divided by 0 gives an infinity or NaN.
    ///
    /// It has no gradient, as in PyTorch; [`Self::div_rounding`] has.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-7, 7, 12], &[3]);
    /// assert_eq!(x.floor_divide(&Tensor::from_slice(&[3], &[1])).to_vec::<i32>()?, [-3, 2, 4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit. A whole number divided by 0 is found while the operation runs: the next read returns
    /// [`Error::ZeroDivision`](crate::Error::ZeroDivision).
    pub fn floor_divide / try_floor_divide (&self, other: &Tensor) -> Tensor {
        of_tensors(self, other, false)
    }

    /// [`Self::floor_divide`] with a number. A tensor of integers takes whole numbers only, and not 0.
    pub fn floor_divide_scalar / try_floor_divide_scalar (&self, other: f64) -> Tensor {
        of_number("floor_divide_scalar", self, other, false)
    }
}
