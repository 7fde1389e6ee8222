//! `log(1 + e^(βx)) / β`, and x itself where `βx` is above a threshold, with derivatives `σ(βx)` and 1, where σ is the logistic
//! function.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.softplus.html>

use super::{unary, unary_apply, unary_backward_twin, unary_twin};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

/// log(1 + e^z) without overflow.
fn soft(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

unary! {
    SOFTPLUS, "softplus",
    forward: |x, a| match a[0] * x {
        z if z > a[1] => x,
        z if z.is_nan() => z,
        z => soft(z) / a[0],
    },
    // 1.7 ulp of the function, 2.5 of the division; βx is rounded by half a unit, which an exponential multiplies by |βx|.
    bound: Bound::Scaled {
        ulps: 5.0,
        magnitude: |c| unary_twin(c, |x, a| (soft(a[0] * x) / a[0]) * (1.0 + (a[0] * x).min(0.0).abs()), None),
    },
    saves: Input,
    scalars: |attrs| [attrs.get_float("beta"), attrs.get_float("threshold"), 0.0, 0.0],
    backward: |g, x, a| if a[0] * x > a[1] { g } else { g / (1.0 + (-a[0] * x).exp()) },
    // 1.49 ulp of the logistic function, a product, and the rounding of βx as above.
    backward_bound: Bound::Scaled {
        ulps: 3.0,
        magnitude: |c| unary_backward_twin(c, |g, x, a| g / (1.0 + (-a[0] * x).exp()) * (1.0 + (a[0] * x).min(0.0).abs())),
    },
    cases: || {
        let named = cases::unary(cases::ANY).into_iter().map(|c| cases::Case { name: format!("{} beta", c.name), ..c });
        let mut list = cases::with_attrs(named.collect(), attrs(2.5, 3.0));
        list.extend(cases::with_attrs(cases::unary(cases::ANY), attrs(1.0, 20.0)));
        list
    },
}

fn attrs(beta: f64, threshold: f64) -> Attrs {
    Attrs::new().float("beta", beta).float("threshold", threshold)
}

methods! {
    /// `log(1 + e^(βx)) / β`, a smooth [`Self::relu`]; x itself where `βx` exceeds the threshold. PyTorch's defaults are 1 and
    /// 20.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).softplus(1.0, 20.0);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 2f32.ln(), 1e4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn softplus / try_softplus (&self, beta: f64, threshold: f64) -> Tensor {
        unary_apply(&SOFTPLUS, self, attrs(beta, threshold))
    }
}
