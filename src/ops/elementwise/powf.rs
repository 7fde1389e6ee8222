//! `xᵃ` for a number a, with derivative `a·xᵃ⁻¹`, which is 0 for a = 0 at every x.
//!
//! <https://pytorch.org/docs/stable/generated/torch.pow.html>

use super::{as_float, unary, unary_apply, unary_backward_twin};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    POWF, "powf",
    forward: |x, a| x.powf(a[0]),
    // `lg_pow` is within 2.8 ulp; the twin's own rounding adds half of one.
    bound: Bound::ulps(4.0),
    saves: Input,
    scalars: |attrs| [attrs.get_float("exponent"), 0.0, 0.0, 0.0],
    backward: |g, x, a| if a[0] == 0.0 { 0.0 } else { g * (a[0] * x.powf(a[0] - 1.0)) },
    // The power and two products; a − 1 is rounded by half a unit, which the logarithm of x multiplies.
    backward_bound: Bound::Scaled {
        ulps: 5.0,
        magnitude: |c| unary_backward_twin(c, |g, x, a| {
            g * a[0] * x.powf(a[0] - 1.0) * (1.0 + ((a[0] - 1.0) * x.abs().ln()).abs())
        }),
    },
    cases: || {
        let mut list = Vec::new();
        for (exponent, fill) in [
            (2.5, cases::POSITIVE),
            (0.0, cases::ANY),
            (0.5, cases::POSITIVE),
            (1.0, cases::ANY),
            (2.0, cases::ANY),
            (3.0, cases::AWAY_FROM_ZERO),
            (-1.5, cases::POSITIVE),
            (-2.0, cases::AWAY_FROM_ZERO),
        ] {
            let named = cases::unary(fill).into_iter().map(|c| cases::Case { name: format!("{} to {exponent}", c.name), ..c });
            list.extend(cases::with_attrs(named.collect(), attrs(exponent)));
        }
        list
    },
}

fn attrs(exponent: f64) -> Attrs {
    Attrs::new().float("exponent", exponent)
}

methods! {
    /// Each element to the power of a number: NaN for a negative element and a power that is not whole. [`Self::powi`] is
    /// quicker for small whole powers.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::scalar(9.0).powf(1.5).item::<f32>()?, 27.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn powf / try_powf (&self, exponent: f64) -> Tensor {
        unary_apply(&POWF, &as_float(self)?, attrs(exponent))
    }
}
