//! x without its fraction, with derivative 0, at the jumps too.
//!
//! <https://pytorch.org/docs/stable/generated/torch.trunc.html>

use super::{unary_apply, unary_steps};
use crate::dtype::DType;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary_steps! {
    TRUNC, "trunc",
    forward: |x, _| x.trunc(),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// Each element without its fraction. Integers stay as they are.
    pub fn trunc / try_trunc (&self) -> Tensor {
        if !self.dtype().is_float() && self.dtype() != DType::Bool {
            return Ok(self.clone());
        }
        unary_apply(&TRUNC, self, Attrs::new())
    }
}
