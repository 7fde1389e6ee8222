//! `x − λ` above λ, `x + λ` below −λ and 0 between, with derivatives 1, 1 and 0.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.softshrink.html>

use super::{unary, unary_apply};
use crate::Error;
use crate::engine::Bound;
use crate::ops::{Attrs, methods};
use crate::tensor::Tensor;

unary! {
    SOFTSHRINK, "softshrink",
    forward: |x, a| if x > a[0] { x - a[0] } else if x < -a[0] { x + a[0] } else { x * 0.0 },
    // One sum.
    bound: Bound::ulps(1.0),
    saves: Input,
    scalars: |attrs| [attrs.get_float("lambd"), 0.0, 0.0, 0.0],
    // Also at NaN the derivative is 0.
    backward: |g, x, a| if x.abs() > a[0] { g } else { 0.0 },
    backward_bound: Bound::Exact,
    cases: || super::hardshrink::cases_around(0.5),
}

methods! {
    /// Each element moved towards 0 by `lambd`, at most to 0. PyTorch's default is 0.5.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-2.0f32, 0.3, 1.0], &[3]).softshrink(0.5);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.5, 0.0, 0.5]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `lambd` is negative.
    pub fn softshrink / try_softshrink (&self, lambd: f64) -> Tensor {
        if lambd.is_nan() || lambd < 0.0 {
            return Err(Error::argument("softshrink", format!("lambd must not be negative, it is {lambd}")));
        }
        unary_apply(&SOFTSHRINK, self, Attrs::new().float("lambd", lambd))
    }
}
