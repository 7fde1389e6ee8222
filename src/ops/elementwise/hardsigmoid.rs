//! `x/6 + 1/2` cut to the range from 0 to 1, with derivative 1/6 strictly between −3 and 3 and 0 elsewhere.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.hardsigmoid.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    HARDSIGMOID, "hardsigmoid",
    forward: |x, _| if x <= -3.0 { 0.0 } else if x >= 3.0 { 1.0 } else { (x + 3.0) / 6.0 },
    // A sum, the constant and a product.
    bound: Bound::ulps(2.0),
    saves: Input,
    backward: |g, x, _| if x > -3.0 && x < 3.0 { g / 6.0 } else { 0.0 },
    // The constant and a product.
    backward_bound: Bound::ulps(1.5),
    cases: || {
        let mut list = cases::unary(cases::ANY);
        let bends = cases::Fill::Values(&[-3.0, 3.0, -3.5, 3.5, -2.999, 2.999]);
        list.push(cases::Case::new("bends", vec![cases::Input::floats(&[6]).fill(bends)]).no_gradcheck());
        list
    },
}

methods! {
    /// `relu6(x + 3)/6`, a cheap [`Self::sigmoid`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-4.0f32, 0.0, 3.0], &[3]).hardsigmoid();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.5, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn hardsigmoid / try_hardsigmoid (&self) -> Tensor {
        unary_apply(&HARDSIGMOID, self, Attrs::new())
    }
}
