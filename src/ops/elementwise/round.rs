//! The whole number nearest to x; of two the even one, with derivative 0, at the jumps too.
//!
//! <https://pytorch.org/docs/stable/generated/torch.round.html>

use super::{unary_apply, unary_steps};
use crate::dtype::DType;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary_steps! {
    ROUND, "round",
    forward: |x, _| x.round_ties_even(),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The whole number nearest to each element; of two the even one. Integers stay as they are.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[0.5f32, 1.5, -2.5], &[3]).round();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 2.0, -2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn round / try_round (&self) -> Tensor {
        if !self.dtype().is_float() && self.dtype() != DType::Bool {
            return Ok(self.clone());
        }
        unary_apply(&ROUND, self, Attrs::new())
    }
}
