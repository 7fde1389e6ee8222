//! The cross-entropy of logits x against probabilities t, with a weight p of positives and the logistic function σ:
//!
//! `−p·t·log σ(x) − (1 − t)·log σ(−x)`, with `dx = (1 − t)·σ(x) − p·t·σ(−x)` and `dt = log σ(−x) − p·log σ(x)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html>

use super::binary_cross_entropy::weighted_cases;
use super::{loss, loss_apply, loss_cases, reduced};
use crate::engine::Bound;
use crate::ops::class_loss::Reduction;
use crate::ops::elementwise::sigmoid::logistic;
use crate::ops::{cases, methods};
use crate::tensor::Tensor;

/// The arguments of the binary cross-entropy of logits besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default)]
pub struct BinaryCrossEntropyWithLogitsOptions<'a> {
    /// A factor for each loss, broadcast.
    pub weight: Option<&'a Tensor>,
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// How much a positive weighs, broadcast: usually one number for each class.
    pub pos_weight: Option<&'a Tensor>,
}

/// log(1 + e^−|x|), which is −log σ(|x|).
fn rest(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p()
}

loss! {
    BINARY_CROSS_ENTROPY_WITH_LOGITS, "binary_cross_entropy_with_logits",
    // −log σ(x) is max(−x, 0) + log(1 + e^−|x|): the terms with x are put together, since they cancel for large ones.
    loss: |e, _| {
        let slope = if e.x < 0.0 { -e.p * e.t } else { 1.0 - e.t };
        slope * e.x + (1.0 - e.t + e.p * e.t) * rest(e.x)
    },
    // An exponential and a logarithm of 2.5 ulp together, and the roundings of 1 − t, p·t, their sum and the products.
    magnitude: |e, _| {
        let (positive, negative) = ((e.p * e.t).abs(), 1.0 + e.t.abs());
        let slope = if e.x < 0.0 { positive } else { (1.0 - e.t).abs() };
        slope * e.x.abs() + (negative + positive) * rest(e.x)
    },
    ulps: 6.0,
    input: |g, e, _| g * ((1.0 - e.t) * logistic(e.x) - e.p * e.t * logistic(-e.x)),
    // Logistic functions of 1.49 ulp, and five roundings.
    input_bound: Bound::Scaled {
        ulps: 5.0,
        magnitude: |c| super::gradient_twin(c, |g, e, _| {
            g * ((1.0 - e.t).abs() * logistic(e.x) + (e.p * e.t).abs() * logistic(-e.x))
        }),
    },
    target: |g, e, _| g * ((e.p - 1.0) * rest(e.x) - if e.x < 0.0 { e.p * e.x } else { e.x }),
    // As for the loss.
    target_bound: Bound::Scaled {
        ulps: 6.0,
        magnitude: |c| super::gradient_twin(c, |g, e, _| {
            g * ((e.p - 1.0).abs() * rest(e.x) + if e.x < 0.0 { (e.p * e.x).abs() } else { e.x })
        }),
    },
    same_shape: true,
    cases: || {
        let target = cases::Fill::Uniform(0.0, 1.0);
        let mut list = loss_cases(cases::ANY, target, false, |attrs| attrs);
        list.extend(weighted_cases(cases::ANY, target));
        list.extend(positive_cases(target));
        let targets = cases::Fill::Values(&[0.0, 1.0, 0.4, 1.0, 0.0]);
        let inputs = vec![cases::Input::floats(&[85]).fill(cases::EXTREME), cases::Input::floats(&[85]).fill(targets)];
        list.push(cases::Case::new("extreme", inputs).attrs(reduced(Reduction::None)).no_gradcheck());
        let inputs = vec![cases::Input::floats(&[120]).fill(cases::SMALL), cases::Input::floats(&[120]).fill(targets)];
        let small = cases::Case::new("small", inputs).attrs(reduced(Reduction::None)).upstream(cases::SMALL_UPSTREAM);
        list.push(small.no_gradcheck());
        list
    },
}

fn positive_cases(target: cases::Fill) -> Vec<cases::Case> {
    use cases::{Case, Input, POSITIVE};
    let weight = |shape: &[usize]| Input::floats(shape).fill(POSITIVE).constant();
    let pair = [Input::floats(&[3, 5]), Input::floats(&[3, 5]).fill(target)];
    let case = |name: &str, weights: &[Input], given: bool, reduction: Reduction| {
        let attrs = reduced(reduction).bool("weight", given).bool("pos_weight", true);
        Case::new(name, [&pair[..], weights].concat()).attrs(attrs)
    };
    vec![
        case("positives", &[weight(&[5])], false, Reduction::Mean),
        case("one weight of positives", &[weight(&[])], false, Reduction::None),
        case("both weights", &[weight(&[3, 1]), weight(&[5])], true, Reduction::Sum),
        case("misshapen positives", &[weight(&[4])], false, Reduction::Mean).fails(),
    ]
}

methods! {
    /// The mean cross-entropy of these logits against the probabilities `target`, of the same shape: a sigmoid and a
    /// [`Self::binary_cross_entropy`] in one, exact for large logits too.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[0.0f32, 1e4, -1e4], &[3]);
    /// let target = Tensor::from_slice(&[1.0f32, 1.0, 0.0], &[3]);
    /// let loss = x.binary_cross_entropy_with_logits(&target);
    /// assert!((loss.item::<f32>()? - 2f32.ln() / 3.0).abs() < 1e-6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn binary_cross_entropy_with_logits / try_binary_cross_entropy_with_logits (&self, target: &Tensor) -> Tensor {
        self.try_binary_cross_entropy_with_logits_with(target, &BinaryCrossEntropyWithLogitsOptions::default())
    }

    /// [`Self::binary_cross_entropy_with_logits`] with weights or another reduction.
    pub fn binary_cross_entropy_with_logits_with / try_binary_cross_entropy_with_logits_with (
        &self, target: &Tensor, options: &BinaryCrossEntropyWithLogitsOptions<'_>
    ) -> Tensor {
        let weights = (options.weight, options.pos_weight);
        loss_apply(&BINARY_CROSS_ENTROPY_WITH_LOGITS, [self, target], weights, reduced(options.reduction))
    }
}
