//! `s·x` above 0 and `s·α·(eˣ − 1)` elsewhere, with derivatives `s` and `s·α·eˣ`: what keeps mean 0 and variance 1 from layer
//! to layer (Klambauer, Unterthiner, Mayr and Hochreiter 2017).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.selu.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

const SCALE: f64 = 1.050_700_987_355_480_5;
const ALPHA: f64 = 1.673_263_242_354_377_2;

unary! {
    SELU, "selu",
    // NaN counts as positive, which decides its gradient.
    forward: |x, _| if x <= 0.0 { SCALE * ALPHA * x.exp_m1() } else { SCALE * x },
    // `lg_expm1` is within 1.42 ulp; the constant and the product round.
    bound: Bound::ulps(3.0),
    saves: Input,
    backward: |g, x, _| if x <= 0.0 { g * SCALE * ALPHA * x.exp() } else { SCALE * g },
    // `lg_exp` is within 0.95 ulp; the constant and two products round.
    backward_bound: Bound::ulps(3.0),
    cases: || cases::unary(cases::AWAY_FROM_ZERO),
}

methods! {
    /// The scaled exponential linear unit: `1.0507·x` above 0 and `1.7581·(eˣ − 1)` elsewhere.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1.0], &[3]).selu();
    /// assert_eq!(y.to_vec::<f32>()?, [-1.7580993, 0.0, 1.050701]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn selu / try_selu (&self) -> Tensor {
        unary_apply(&SELU, self, Attrs::new())
    }
}
