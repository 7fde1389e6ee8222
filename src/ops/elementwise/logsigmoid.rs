//! `log σ(x) = min(x, 0) − log(1 + e^−|x|)` with the logistic function σ, with derivative `σ(−x)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.logsigmoid.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    LOGSIGMOID, "logsigmoid",
    forward: |x, _| if x.is_nan() { x } else { x.min(0.0) - (-x.abs()).exp().ln_1p() },
    // `lg_log_sigmoid` is within 1.7 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(2.5),
    saves: Input,
    backward: |g, x, _| g / (1.0 + x.exp()),
    // 1.49 ulp of the logistic function and a product.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The logarithm of the logistic function, without overflow at either end.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).logsigmoid();
    /// assert_eq!(y.to_vec::<f32>()?, [-1e4, -(2f32.ln()), 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn logsigmoid / try_logsigmoid (&self) -> Tensor {
        unary_apply(&LOGSIGMOID, self, Attrs::new())
    }
}
