//! The largest whole number that is not above x, with derivative 0, at the jumps too.
//!
//! <https://pytorch.org/docs/stable/generated/torch.floor.html>

use super::{unary_apply, unary_steps};
use crate::dtype::DType;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary_steps! {
    FLOOR, "floor",
    forward: |x, _| x.floor(),
    cases: || cases::unary(cases::ANY),
}

methods! {
    /// The largest whole number that is not above each element. Integers stay as they are.
    pub fn floor / try_floor (&self) -> Tensor {
        if !self.dtype().is_float() && self.dtype() != DType::Bool {
            return Ok(self.clone());
        }
        unary_apply(&FLOOR, self, Attrs::new())
    }
}
