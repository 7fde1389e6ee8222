//! `trunc(x/y)`, exactly, then rounded to a float; and the choice between it and `floor(x/y)`. The gradient is 0.
//!
//! PyTorch rounds x/y to the type before it cuts, which can carry a quotient just below a whole number over it: of 0.7 and 0.1 in
//! f32 that is 7, and here, as there in f64 and as `fmod` has it, 6.
//! <https://pytorch.org/docs/stable/generated/torch.div.html>

use super::division::{self, division, divisor};
use super::{binary_apply, floor_divide, unary_apply, zero_vjp};
use crate::engine::Bound;
use crate::ops::methods;
use crate::tensor::Tensor;

division! {
    DIV_TRUNC, DIV_TRUNC_SCALAR, "div_trunc",
    float: |x, y| (x / y).trunc(),
    int: |x, y| x / y,
    // A whole number that no float holds is rounded.
    bound: Bound::ulps(1.0),
    vjp: zero_vjp,
    cases: [division::cases_of_tensors, division::cases_of_numbers],
}

/// How [`Tensor::div_rounding`] makes whole numbers of quotients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoundingMode {
    /// Towards 0, as Rust divides integers.
    Trunc,
    /// Down, as Python's `//`.
    Floor,
}

methods! {
    /// Each element divided by that of `other`, broadcast, and rounded to a whole number: PyTorch's `div` with a `rounding_mode`.
    /// Integers stay integers. It is the exact quotient that is rounded; a float divided by 0 gives an infinity or NaN. The
    /// gradient is 0.
    ///
    /// ```
    /// use lumigrad::{RoundingMode, prelude::*};
    /// let (x, y) = (Tensor::from_slice(&[-7.0f32, 7.0], &[2]), Tensor::scalar(2.0));
    /// assert_eq!(x.div_rounding(&y, RoundingMode::Trunc).to_vec::<f32>()?, [-3.0, 3.0]);
    /// assert_eq!(x.div_rounding(&y, RoundingMode::Floor).to_vec::<f32>()?, [-4.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit. A whole number divided by 0 is found while the operation runs: the next read returns
    /// [`Error::ZeroDivision`](crate::Error::ZeroDivision).
    pub fn div_rounding / try_div_rounding (&self, other: &Tensor, mode: RoundingMode) -> Tensor {
        match mode {
            RoundingMode::Trunc => binary_apply(&DIV_TRUNC, self, other),
            RoundingMode::Floor => floor_divide::of_tensors(self, other, true),
        }
    }

    /// [`Self::div_rounding`] with a number. A tensor of integers takes whole numbers only, and not 0.
    pub fn div_rounding_scalar / try_div_rounding_scalar (&self, other: f64, mode: RoundingMode) -> Tensor {
        let op = "div_rounding_scalar";
        match mode {
            RoundingMode::Trunc => unary_apply(&DIV_TRUNC_SCALAR, self, divisor(op, self, other)?),
            RoundingMode::Floor => floor_divide::of_number(op, self, other, true),
        }
    }
}
