//! `x` above 0 and `α·(e^(x/α) − 1)` elsewhere, with derivatives 1 and `e^(x/α)`: an exponential linear unit whose derivative
//! has no jump for any α (Barron 2017).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.celu.html>

use super::{unary, unary_apply, unary_backward_twin};
use crate::Error;
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    CELU, "celu",
    // NaN counts as positive, which decides its gradient.
    forward: |x, a| if x <= 0.0 { a[0] * (x * a[1]).exp_m1() } else { x },
    // `lg_expm1` is within 1.42 ulp, its argument is rounded, and the product rounds.
    bound: Bound::ulps(3.0),
    saves: Input,
    scalars: |attrs| [attrs.get_float("alpha"), 1.0 / attrs.get_float("alpha"), 0.0, 0.0],
    backward: |g, x, a| if x <= 0.0 { g * (x * a[1]).exp() } else { g },
    // `lg_exp` is within 0.95 ulp and a product rounds; x/α is rounded by half a unit, which the exponential multiplies by
    // |x/α|.
    backward_bound: Bound::Scaled {
        ulps: 2.0,
        magnitude: |c| unary_backward_twin(c, |g, x, a| match x * a[1] {
            z if x <= 0.0 => g * z.exp() * (1.0 + z.abs()),
            _ => g,
        }),
    },
    cases: || {
        let named = cases::unary(cases::AWAY_FROM_ZERO).into_iter().map(|c| cases::Case { name: format!("{} 1.7", c.name), ..c });
        let mut list = cases::with_attrs(named.collect(), attrs(1.7));
        list.extend(cases::with_attrs(cases::unary(cases::AWAY_FROM_ZERO), attrs(1.0)));
        list
    },
}

fn attrs(alpha: f64) -> Attrs {
    Attrs::new().float("alpha", alpha)
}

methods! {
    /// The continuously differentiable exponential linear unit: `x` above 0 and `alpha·(e^(x/alpha) − 1)` elsewhere. PyTorch's
    /// default alpha is 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 2.0], &[3]).celu(1.5);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.5, 0.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `alpha` is 0.
    pub fn celu / try_celu (&self, alpha: f64) -> Tensor {
        if alpha == 0.0 {
            return Err(Error::argument("celu", "alpha must not be 0: it divides"));
        }
        unary_apply(&CELU, self, attrs(alpha))
    }
}
