//! `x` cut to the range from a to b, with derivative 1 strictly between them and 0 elsewhere.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.hardtanh.html>

use super::{unary, unary_apply};
use crate::Error;
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    HARDTANH, "hardtanh",
    forward: |x, a| if x < a[0] { a[0] } else if x > a[1] { a[1] } else { x },
    bound: Bound::Exact,
    saves: Input,
    scalars: |attrs| [attrs.get_float("min_val"), attrs.get_float("max_val"), 0.0, 0.0],
    backward: |g, x, a| if x <= a[0] || x >= a[1] { 0.0 } else { g },
    backward_bound: Bound::Exact,
    cases: || {
        let mut list = cases::with_attrs(cases::unary(cases::ANY), attrs(-1.0, 1.0));
        let bounds = cases::Input::floats(&[5]).fill(cases::Fill::Values(&[-0.5, 0.0, 6.0, 6.5, 2.0]));
        list.push(cases::Case::new("on the bounds", vec![bounds]).attrs(attrs(0.0, 6.0)).no_gradcheck());
        list
    },
}

fn attrs(min: f64, max: f64) -> Attrs {
    Attrs::new().float("min_val", min).float("max_val", max)
}

methods! {
    /// Each element cut to the range from `min_val` to `max_val`. Unlike [`Self::clamp`] it has gradient 0 on the bounds.
    /// PyTorch's defaults are −1 and 1; `hardtanh(0.0, 6.0)` is its `relu6`.
    pub fn hardtanh / try_hardtanh (&self, min_val: f64, max_val: f64) -> Tensor {
        if min_val > max_val {
            return Err(Error::argument("hardtanh", format!("min_val {min_val} is above max_val {max_val}")));
        }
        unary_apply(&HARDTANH, self, attrs(min_val, max_val))
    }
}
