//! 0 up to −3, `x` from 3 on, and `x·(x + 3)/6` between, with derivatives 0, 1 and `(2x + 3)/6`: a cheap `silu` (Howard and
//! others 2019).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.hardswish.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    HARDSWISH, "hardswish",
    // −∞ times 0 is NaN, as in PyTorch.
    forward: |x, _| if x >= 3.0 { x } else if x <= -3.0 { x * 0.0 } else { x * (x + 3.0) / 6.0 },
    // A sum, the constant and two products.
    bound: Bound::ulps(2.5),
    saves: Input,
    backward: |g, x, _| if x <= -3.0 { 0.0 } else if x < 3.0 { g * (2.0 * x + 3.0) / 6.0 } else { g },
    // As above.
    backward_bound: Bound::ulps(2.5),
    cases: || {
        let mut list = cases::unary(cases::ANY);
        let bends = cases::Fill::Values(&[-3.0, 3.0, -3.5, 3.5, -2.999, 2.999, -1.5, -1.499_99]);
        list.push(cases::Case::new("bends", vec![cases::Input::floats(&[8]).fill(bends)]).no_gradcheck());
        let outside = cases::Fill::Away(3.2, 5.0);
        list.push(cases::Case::new("outside", vec![cases::Input::floats(&[8]).fill(outside)]));
        list
    },
}

methods! {
    /// `x·relu6(x + 3)/6`, which PyTorch calls hardswish.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-4.0f32, 0.0, 3.0], &[3]).hardswish();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn hardswish / try_hardswish (&self) -> Tensor {
        unary_apply(&HARDSWISH, self, Attrs::new())
    }
}
