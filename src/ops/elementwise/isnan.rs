//! Whether x is NaN, by its bits.
//!
//! <https://pytorch.org/docs/stable/generated/torch.isnan.html>

use super::{ElementwiseParams, FLOAT_TEST, as_float, unary_apply, unary_kernel, unary_test};
use crate::engine::{Bound, Kernel};
use crate::ops::{Attrs, Operation, cases, methods};
use crate::tensor::Tensor;

static FORWARD: Kernel = Kernel {
    variants: FLOAT_TEST,
    reference: |call| {
        let p: &ElementwiseParams = call.params();
        let (x, mut y) = (call.floats(0), call.words_mut(1));
        (0..p.n).for_each(|i| {
            let x = x[p.operand(i, 0)];
            y[p.result(i)] = u32::from(x.is_nan());
        });
        Ok(())
    },
    ..unary_kernel!("isnan", |x, _| x, Bound::Exact)
};

/// The operation `isnan`.
pub(crate) static ISNAN: Operation = Operation {
    name: "isnan",
    kernels: &[&FORWARD],
    forward: |call| unary_test(call, &FORWARD, |_| [0.0; 4]),
    vjp: None,
    cases: || cases::unary(cases::ANY),
};

methods! {
    /// Where elements are NaN. Integers never are.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0, f32::NAN, f32::INFINITY], &[3]);
    /// assert_eq!(x.isnan().to_vec::<bool>()?, [false, true, false]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn isnan / try_isnan (&self) -> Tensor {
        unary_apply(&ISNAN, &as_float(self)?, Attrs::new())
    }
}
