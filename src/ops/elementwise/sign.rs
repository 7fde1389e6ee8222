//! −1, 0 or 1 by the sign of x, 0 for NaN, with derivative 0.
//!
//! <https://pytorch.org/docs/stable/generated/torch.sign.html>

use super::{unary_apply, unary_steps};
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary_steps! {
    SIGN, "sign",
    forward: |x, _| f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
    int: |x, _| x.signum(),
    cases: || cases::unary_numeric(cases::AWAY_FROM_ZERO),
}

methods! {
    /// −1 for negative elements, 1 for positive ones, 0 for 0 and, as in PyTorch, for NaN.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-3.0f32, 0.0, 7.0], &[3]).sign();
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 0.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn sign / try_sign (&self) -> Tensor {
        unary_apply(&SIGN, self, Attrs::new())
    }
}
