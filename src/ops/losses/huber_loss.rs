//! With the difference `z = x − t`: `z²/2` where `|z| ≤ δ` and `δ·(|z| − δ/2)` elsewhere, with `dx = z` or `δ` times the sign of
//! z, and `dt = −dx` (Huber 1964).
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.huber_loss.html>

use super::l1_loss::{BETWEEN, WHOLE};
use super::{WIDE, extreme_case, loss, loss_apply, loss_cases, reduced};
use crate::Error;
use crate::engine::Bound;
use crate::ops::class_loss::Reduction;
use crate::ops::methods;
use crate::tensor::Tensor;

/// The arguments of the Huber loss besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HuberLossOptions {
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// The difference from which the loss is linear.
    pub delta: f64,
}

impl Default for HuberLossOptions {
    fn default() -> Self {
        HuberLossOptions { reduction: Reduction::Mean, delta: 1.0 }
    }
}

fn gradient(g: f64, z: f64, delta: f64) -> f64 {
    if z.abs() > delta { g * delta * z.signum() } else { g * z }
}

loss! {
    HUBER_LOSS, "huber_loss",
    loss: |e, a| match (e.x - e.t).abs() {
        z if z > a[0] => a[0] * (z - 0.5 * a[0]),
        z => 0.5 * z * z,
    },
    magnitude: |e, a| match (e.x - e.t).abs() {
        z if z > a[0] => a[0] * (z - 0.5 * a[0]),
        z => 0.5 * z * z,
    },
    // A difference, which counts twice, and a sum or a product, and another one.
    ulps: 3.0,
    input: |g, e, a| gradient(g, e.x - e.t, a[0]),
    // Upstream gradient times scale, a difference and a product.
    input_bound: Bound::ulps(2.0),
    target: |g, e, a| gradient(g, e.t - e.x, a[0]),
    target_bound: Bound::ulps(2.0),
    numbers: |attrs| [attrs.get_float("delta"), 0.0, 0.0],
    same_shape: false,
    cases: || {
        let mut list = loss_cases(WHOLE, BETWEEN, true, |attrs| attrs.float("delta", 1.0));
        let wide = loss_cases(WHOLE, BETWEEN, true, |attrs| attrs.float("delta", 2.3)).into_iter().take(2);
        list.extend(wide.map(|case| crate::ops::cases::Case { name: format!("{} delta", case.name), ..case }));
        list.push(extreme_case(WIDE, WIDE, reduced(Reduction::None).float("delta", 0.5)));
        list
    },
}

methods! {
    /// The mean of the differences to `target`, broadcast, squared and halved up to 1, and less 1/2 beyond.
    ///
    /// ```
    /// use lumigrad::{HuberLossOptions, prelude::*};
    /// let (x, target) = (Tensor::from_slice(&[0.5f32, 3.0], &[2]), Tensor::zeros(&[2]));
    /// assert_eq!(x.huber_loss(&target).item::<f32>()?, (0.125 + 2.5) / 2.0);
    /// let wide = HuberLossOptions { delta: 2.0, ..Default::default() };
    /// assert_eq!(x.huber_loss_with(&target, &wide).item::<f32>()?, (0.125 + 4.0) / 2.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn huber_loss / try_huber_loss (&self, target: &Tensor) -> Tensor {
        self.try_huber_loss_with(target, &HuberLossOptions::default())
    }

    /// [`Self::huber_loss`] with another reduction or another place where it becomes linear.
    ///
    /// # Panics
    /// When `delta` is not positive.
    pub fn huber_loss_with / try_huber_loss_with (&self, target: &Tensor, options: &HuberLossOptions) -> Tensor {
        let &HuberLossOptions { reduction, delta } = options;
        if delta.is_nan() || delta <= 0.0 {
            return Err(Error::argument("huber_loss", format!("delta must be positive, it is {delta}")));
        }
        loss_apply(&HUBER_LOSS, [self, target], (None, None), reduced(reduction).float("delta", delta))
    }
}
