//! `xⁿ` for a whole n, by repeated squaring: `dx = g·n·xⁿ⁻¹`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.pow.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    POWI, "powi",
    forward: |x, a| x.powi(a[0] as i32),
    // Each of up to 2·log₂ n multiplications rounds, and squaring doubles what went before: about n ulp in all.
    bound: Bound::ulps(16.0),
    saves: Input,
    scalars: |attrs| [attrs.get_int("exponent") as f64, 0.0, 0.0, 0.0],
    backward: |g, x, a| if a[0] == 0.0 { 0.0 } else { g * a[0] * x.powi(a[0] as i32 - 1) },
    backward_bound: Bound::ulps(16.0),
    cases: || {
        let mut list = Vec::new();
        for exponent in [2, 3, 0, 1, -2] {
            let attrs = Attrs::new().int("exponent", exponent);
            let named = cases::unary(cases::AWAY_FROM_ZERO).into_iter().map(|mut c| {
                c.name = format!("{} to {exponent}", c.name);
                c
            });
            list.extend(cases::with_attrs(named.collect(), attrs));
        }
        list
    },
}

methods! {
    /// `self` to a whole power, element by element. For small powers: the error grows with `|exponent|`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(-3.0).powi(3).item::<f32>()?, -27.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn powi / try_powi (&self, exponent: i32) -> Tensor {
        unary_apply(&POWI, self, Attrs::new().int("exponent", i64::from(exponent)))
    }
}
