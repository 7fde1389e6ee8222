//! `x − y·floor(x/y)`: what is left of x, with the sign of y, as Python's `%`. `dx = g`, `dy = −g·floor(x/y)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.remainder.html>

use super::division::{self, division, divisor};
use super::floor_divide::floor_divide;
use super::{Elementwise, binary_apply, binary_backward_kernel, unary_apply};
use crate::engine::Bound;
use crate::ops::methods;
use crate::tensor::Tensor;

static RIGHT: Elementwise =
    binary_backward_kernel!("remainder", "right", |g, x, y| -g * floor_divide(x, y), division::GRADIENT_BOUND);

division! {
    REMAINDER, REMAINDER_SCALAR, "remainder",
    float: remainder,
    int: |x, y| {
        let rest = x % y;
        if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }
    },
    // Exact but for one sum.
    bound: Bound::ulps(1.0),
    right: RIGHT,
    vjp: |v| division::rest_vjp(v, &RIGHT),
    cases: [division::cases_of_tensors, division::cases_of_numbers],
}

fn remainder(x: f64, y: f64) -> f64 {
    let rest = x % y;
    if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest }
}

methods! {
    /// What is left of each element when it is divided by that of `other`, broadcast, and the quotient is rounded down:
    /// `self - other * floor(self / other)`, with the sign of `other`; also as the operator `%`, as in Python. A float divided by
    /// 0 gives NaN. [`Self::fmod`] has the sign of `self`, as Rust's own `%` on numbers.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-7, 7, -7, 7], &[2, 2]);
    /// let y = Tensor::from_slice(&[3, -3], &[2, 1]);
    /// assert_eq!(x.remainder(&y).to_vec::<i32>()?, [2, 1, -1, -2]);
    /// assert_eq!((&x % 3.0).to_vec::<i32>()?, [2, 1, 2, 1]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit. A whole number divided by 0 is found while the operation runs: the next read returns
    /// [`Error::ZeroDivision`](crate::Error::ZeroDivision).
    pub fn remainder / try_remainder (&self, other: &Tensor) -> Tensor {
        binary_apply(&REMAINDER, self, other)
    }

    /// [`Self::remainder`] with a number; also as the operator `%`. A tensor of integers takes whole numbers only, and not 0.
    pub fn remainder_scalar / try_remainder_scalar (&self, other: f64) -> Tensor {
        unary_apply(&REMAINDER_SCALAR, self, divisor("remainder_scalar", self, other)?)
    }
}
