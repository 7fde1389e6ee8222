//! What is left of x when y is taken from it as often as it fits: `x − y·trunc(x/y)`, with the sign of x, as C's `fmod`.
//! `dx = g`, `dy = −g·trunc(x/y)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.fmod.html>

use super::division::{self, division, divisor};
use super::{Elementwise, binary_apply, binary_backward_kernel, unary_apply};
use crate::engine::Bound;
use crate::ops::methods;
use crate::tensor::Tensor;

static RIGHT: Elementwise =
    binary_backward_kernel!("fmod", "right", |g, x, y| -g * (x / y).trunc(), division::GRADIENT_BOUND);

division! {
    FMOD, FMOD_SCALAR, "fmod",
    float: |x, y| x % y,
    int: |x, y| x % y,
    bound: Bound::Exact,
    right: RIGHT,
    vjp: |v| division::rest_vjp(v, &RIGHT),
    cases: [division::cases_of_tensors, division::cases_of_numbers],
}

methods! {
    /// What is left of each element when that of `other`, broadcast, is taken from it as often as it fits:
    /// `self - other * trunc(self / other)`, with the sign of `self`. Exact, also where the quotient is huge. A float divided by 0
    /// gives NaN. [`Self::remainder`] has the sign of `other`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-7.5f32, 7.5, 1e30], &[3]);
    /// let y = Tensor::from_slice(&[2.0f32, -2.0, 0.3], &[3]);
    /// assert_eq!(x.fmod(&y).to_vec::<f32>()?, [-1.5, 1.5, 1e30 % 0.3f32]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit. A whole number divided by 0 is found while the operation runs: the next read returns
    /// [`Error::ZeroDivision`](crate::Error::ZeroDivision).
    pub fn fmod / try_fmod (&self, other: &Tensor) -> Tensor {
        binary_apply(&FMOD, self, other)
    }

    /// [`Self::fmod`] with a number. A tensor of integers takes whole numbers only, and not 0.
    pub fn fmod_scalar / try_fmod_scalar (&self, other: f64) -> Tensor {
        unary_apply(&FMOD_SCALAR, self, divisor("fmod_scalar", self, other)?)
    }
}
