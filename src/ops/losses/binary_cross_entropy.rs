//! The cross-entropy of probabilities x against probabilities t, with logarithms cut at −100:
//! `−t·max(log x, −100) − (1 − t)·max(log(1 − x), −100)`, with `dx = (x − t) / max(x(1 − x), 10⁻¹²)` and
//! `dt = log(1 − x) − log x`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html>. An x outside of 0 to 1, which
//! PyTorch refuses on a CPU only, gives NaN, its gradient too.

use super::{loss, loss_apply, loss_cases, reduced};
use crate::engine::Bound;
use crate::ops::class_loss::Reduction;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

/// The arguments of the binary cross-entropy besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default)]
pub struct BinaryCrossEntropyOptions<'a> {
    /// A factor for each loss, broadcast.
    pub weight: Option<&'a Tensor>,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

fn cut(logarithm: f64) -> f64 {
    if logarithm.is_nan() { logarithm } else { logarithm.max(-100.0) }
}

loss! {
    BINARY_CROSS_ENTROPY, "binary_cross_entropy",
    loss: |e, _| -e.t * cut(e.x.ln()) - (1.0 - e.t) * cut((-e.x).ln_1p()),
    // Logarithms of 0.89 and 1.5 ulp, 1 − t, two products and a sum.
    magnitude: |e, _| (e.t * cut(e.x.ln())).abs() + ((1.0 - e.t) * cut((-e.x).ln_1p())).abs(),
    ulps: 4.0,
    input: |g, e, _| match e.x {
        x if (0.0..=1.0).contains(&x) => g * (x - e.t) / (x * (1.0 - x)).max(1e-12),
        _ => f64::NAN,
    },
    // Two differences, four products, and a division, which Vulkan grants 2.5 ulp.
    input_bound: Bound::ulps(6.0),
    target: |g, e, _| g * ((-e.x).ln_1p() - e.x.ln()),
    // Logarithms of 0.89 and 1.5 ulp, which cancel near 1/2, a sum and three products.
    target_bound: Bound::Scaled {
        ulps: 4.0,
        magnitude: |c| super::gradient_twin(c, |g, e, _| g * ((-e.x).ln_1p().abs() + e.x.ln().abs())),
    },
    same_shape: true,
    cases: || {
        let (probability, target) = (cases::Fill::Uniform(0.1, 0.9), cases::Fill::Uniform(0.0, 1.0));
        let mut list = loss_cases(probability, target, false, |attrs| attrs);
        list.extend(weighted_cases(probability, target));
        let ends = cases::Fill::Values(&[0.0, 1.0, 1e-30, 0.3, 0.999_999_9, -0.5, 1.5, f64::NAN]);
        let targets = cases::Fill::Values(&[0.0, 1.0, 0.4, 1.0, 0.0, 0.5, 0.5, 0.5, 1.0]);
        let inputs = vec![cases::Input::floats(&[72]).fill(ends), cases::Input::floats(&[72]).fill(targets)];
        list.push(cases::Case::new("extreme", inputs).attrs(reduced(Reduction::None)).no_gradcheck());
        list
    },
}

/// Cases with a weight, for the loss of logits too.
pub(super) fn weighted_cases(x: cases::Fill, t: cases::Fill) -> Vec<cases::Case> {
    use cases::{Case, Input, POSITIVE};
    let case = |name: &str, weight: Input, reduction: Reduction| {
        let inputs = vec![Input::floats(&[3, 5]).fill(x), Input::floats(&[3, 5]).fill(t), weight.fill(POSITIVE)];
        Case::new(name, inputs).attrs(reduced(reduction).bool("weight", true))
    };
    vec![
        case("weights", Input::floats(&[3, 5]).constant(), Reduction::Mean),
        case("a weight a column", Input::floats(&[5]).constant(), Reduction::None),
        case("a weight a row", Input::floats(&[3, 1]).constant(), Reduction::Sum),
        case("too many weights", Input::floats(&[2, 3, 5]).constant(), Reduction::Sum).fails(),
        case("misshapen weights", Input::floats(&[4]).constant(), Reduction::Sum).fails(),
    ]
}

methods! {
    /// The mean cross-entropy of these probabilities against `target`, of the same shape. Take
    /// [`Self::binary_cross_entropy_with_logits`] for what comes out of a layer.
    ///
    /// An element outside of 0 to 1 gives NaN.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[0.5f32, 1.0], &[2]);
    /// let loss = x.binary_cross_entropy(&Tensor::from_slice(&[1.0f32, 1.0], &[2]));
    /// assert!((loss.item::<f32>()? - 0.5 * 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn binary_cross_entropy / try_binary_cross_entropy (&self, target: &Tensor) -> Tensor {
        self.try_binary_cross_entropy_with(target, &BinaryCrossEntropyOptions::default())
    }

    /// [`Self::binary_cross_entropy`] with weights or another reduction.
    pub fn binary_cross_entropy_with / try_binary_cross_entropy_with (
        &self, target: &Tensor, options: &BinaryCrossEntropyOptions<'_>
    ) -> Tensor {
        loss_apply(&BINARY_CROSS_ENTROPY, [self, target], (options.weight, None), reduced(options.reduction))
    }
}
