//! `x − tanh x`, with derivative `tanh² x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.tanhshrink.html>

use super::{unary, unary_apply};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

/// x − tanh x; below 0.5 by the series Σ bₙ·x^(2n+1), since the difference cancels in f64 too.
fn tanhshrink(x: f64) -> f64 {
    if x.abs() >= 0.5 || x.is_nan() {
        return x - x.tanh();
    }
    // tanh' = 1 − tanh² gives the coefficients of tanh = Σ c[n]·x^(2n+1), one after the other.
    let mut c = [0.0f64; 20];
    c[0] = 1.0;
    for n in 1..c.len() {
        let square: f64 = (0..n).map(|i| c[i] * c[n - 1 - i]).sum();
        c[n] = -square / (2 * n + 1) as f64;
    }
    -c[1..].iter().rev().fold(0.0, |sum, c| (sum + c) * x * x) * x
}

unary! {
    TANHSHRINK, "tanhshrink",
    forward: |x, _| tanhshrink(x),
    // Below 1 a polynomial whose coefficients are good to 1.5 ulp, and three products; above, tanh is within 1.09 ulp and
    // up to 3.2 times as large as the difference.
    bound: Bound::ulps(5.0),
    saves: Input,
    backward: |g, x, _| g * x.tanh().powi(2),
    // 1.09 ulp twice, and two products.
    backward_bound: Bound::ulps(4.0),
    cases: || {
        let mut list = cases::unary(cases::ANY);
        let small = cases::Fill::Values(&[1e-3, -1e-6, 0.25, -0.49, 0.51, 0.999, 1.0, -1.001, 1e-15]);
        list.push(cases::Case::new("small", vec![cases::Input::floats(&[9]).fill(small)]));
        list
    },
}

methods! {
    /// `x − tanh x`, accurate near 0 too.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[-1e4f32, 0.0, 1e4], &[3]).tanhshrink();
    /// assert_eq!(y.to_vec::<f32>()?, [-9999.0, 0.0, 9999.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn tanhshrink / try_tanhshrink (&self) -> Tensor {
        unary_apply(&TANHSHRINK, self, Attrs::new())
    }
}
