//! `x` above 0 and `α·(eˣ − 1)` elsewhere, with derivatives 1 and `α·eˣ`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.elu.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

unary! {
    ELU, "elu",
    // NaN counts as positive, which decides its gradient.
    forward: |x, a| if x <= 0.0 { a[0] * x.exp_m1() } else { x },
    // `lg_expm1` is within 1.42 ulp, and the product rounds.
    bound: Bound::ulps(3.0),
    saves: Input,
    scalars: |attrs| [attrs.get_float("alpha"), 0.0, 0.0, 0.0],
    backward: |g, x, a| if x <= 0.0 { g * a[0] * x.exp() } else { g },
    // `lg_exp` is within 0.95 ulp, and two products round.
    backward_bound: Bound::ulps(3.0),
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
    /// The exponential linear unit: `x` above 0 and `alpha·(eˣ − 1)` elsewhere. PyTorch's default alpha is 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 2.0], &[3]).elu(1.5);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.5, 0.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn elu / try_elu (&self, alpha: f64) -> Tensor {
        unary_apply(&ELU, self, attrs(alpha))
    }
}
