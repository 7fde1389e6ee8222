//! `x` above λ and below −λ, and 0 between, with derivatives 1 and 0.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.hardshrink.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    HARDSHRINK, "hardshrink",
    forward: |x, a| if x >= -a[0] && x <= a[0] { 0.0 } else { x },
    bound: Bound::Exact,
    saves: Input,
    scalars: |attrs| [attrs.get_float("lambd"), 0.0, 0.0, 0.0],
    // Also at NaN the derivative is 0.
    backward: |g, x, a| if x > a[0] || x < -a[0] { g } else { 0.0 },
    backward_bound: Bound::Exact,
    cases: || cases_around(0.5),
}

/// Cases of an operation that bends at ±`lambd`, for `softshrink` too.
pub(super) fn cases_around(lambd: f64) -> Vec<cases::Case> {
    let (outside, inside) = (cases::Fill::Away(0.6, 2.0), cases::Fill::Uniform(-0.4, 0.4));
    let mut list = cases::unary(outside);
    list.push(cases::Case::new("inside", vec![cases::Input::floats(&[7]).fill(inside)]));
    let bends = cases::Fill::Values(&[-0.5, 0.5, 0.25, 0.75]);
    list.push(cases::Case::new("bends", vec![cases::Input::floats(&[4]).fill(bends)]).no_gradcheck());
    cases::with_attrs(list, Attrs::new().float("lambd", lambd))
}

methods! {
    /// Each element whose magnitude exceeds `lambd`, and 0 for the others. PyTorch's default is 0.5.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-2.0f32, 0.3, 1.0], &[3]).hardshrink(0.5);
    /// assert_eq!(y.to_vec::<f32>()?, [-2.0, 0.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn hardshrink / try_hardshrink (&self, lambd: f64) -> Tensor {
        unary_apply(&HARDSHRINK, self, Attrs::new().float("lambd", lambd))
    }
}
