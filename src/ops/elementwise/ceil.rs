//! The smallest whole number that is not below x, with derivative 0, at the jumps too.
//!
//! <https://pytorch.org/docs/stable/generated/torch.ceil.html>

use super::{unary_apply, unary_steps};
use crate::dtype::DType;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary_steps! {
    CEIL, "ceil",
    forward: |x, _| x.ceil(),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The smallest whole number that is not below each element. Integers stay as they are.
    pub fn ceil / try_ceil (&self) -> Tensor {
        if !self.dtype().is_float() && self.dtype() != DType::Bool {
            return Ok(self.clone());
        }
        unary_apply(&CEIL, self, Attrs::new())
    }
}
