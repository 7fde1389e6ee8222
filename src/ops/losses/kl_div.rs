//! The divergence of Kullback and Leibler of log-probabilities x from probabilities t: `t·(log t − x)`, which is 0 where t is,
//! with `dx = −t` and `dt = log t + 1 − x`. If the target is a logarithm too: `eᵗ·(t − x)`, with `dx = −eᵗ` and
//! `dt = eᵗ·(t − x + 1)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html>

use super::{extreme_case, loss, loss_apply, loss_cases};
use crate::engine::Bound;
use crate::ops::{Attrs, cases, methods};
use crate::tensor::Tensor;

/// What becomes of the divergences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KlDivReduction {
    /// Their mean over all elements, PyTorch's default; it is not the divergence of the distributions.
    #[default]
    Mean,
    /// Their sum divided by the size of the first dim: the mean divergence of a batch of distributions.
    BatchMean,
    /// Their sum.
    Sum,
    /// They are returned one by one.
    None,
}

impl KlDivReduction {
    /// PyTorch's name.
    pub const fn name(self) -> &'static str {
        match self {
            KlDivReduction::Mean => "mean",
            KlDivReduction::BatchMean => "batchmean",
            KlDivReduction::Sum => "sum",
            KlDivReduction::None => "none",
        }
    }
}

/// The arguments of the divergence besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KlDivOptions {
    /// What becomes of the divergences.
    pub reduction: KlDivReduction,
    /// Whether the target holds logarithms of probabilities.
    pub log_target: bool,
}

/// t·log t, 0 at 0.
fn entropy(t: f64) -> f64 {
    if t == 0.0 { 0.0 } else { t * t.ln() }
}

loss! {
    KL_DIV, "kl_div",
    loss: |e, a| if a[0] != 0.0 { e.t.exp() * (e.t - e.x) } else { entropy(e.t) - e.t * e.x },
    // A logarithm or an exponential below 1 ulp, two products and a difference.
    magnitude: |e, a| match a[0] != 0.0 {
        true => e.t.exp() * (e.t.abs() + e.x.abs()),
        false => entropy(e.t).abs() + (e.t * e.x).abs(),
    },
    ulps: 3.0,
    input: |g, e, a| -g * if a[0] != 0.0 { e.t.exp() } else { e.t },
    // An exponential below 1 ulp, a product, and that of the upstream gradient and the scale.
    input_bound: Bound::ulps(2.5),
    target: |g, e, a| match a[0] != 0.0 {
        true => g * e.t.exp() * (e.t - e.x + 1.0),
        // The derivative of t·log t is infinite at 0; PyTorch gives NaN.
        false if e.t == 0.0 => f64::NAN,
        false => g * (e.t.ln() + 1.0 - e.x),
    },
    // As for the loss, and two products more.
    target_bound: Bound::Scaled {
        ulps: 4.0,
        magnitude: |c| super::gradient_twin(c, |g, e, a| match a[0] != 0.0 {
            true => g * e.t.exp() * (e.t.abs() + e.x.abs() + 1.0),
            false => g * (e.t.ln().abs() + 1.0 + e.x.abs()),
        }),
    },
    numbers: |attrs| [f64::from(u8::from(attrs.get_bool("log_target"))), 0.0, 0.0],
    same_shape: false,
    cases: || {
        let (logs, probabilities) = (cases::Fill::Uniform(-3.0, -0.1), cases::Fill::Uniform(0.1, 0.9));
        let mut list = loss_cases(logs, probabilities, true, |attrs| attrs.bool("log_target", false));
        let logs = loss_cases(logs, logs, true, |attrs| attrs.bool("log_target", true));
        list.extend(logs.into_iter().map(|case| cases::Case { name: format!("{} log", case.name), ..case }));
        let batch = |name: &str, shape: &[usize]| {
            let inputs = vec![cases::Input::floats(shape), cases::Input::floats(shape).fill(probabilities)];
            cases::Case::new(name, inputs).attrs(attrs(KlDivReduction::BatchMean, false))
        };
        list.extend([batch("batch", &[4, 3]), batch("no batch", &[]), batch("empty batch", &[0, 3])]);
        let x = cases::Fill::Values(&[-1.0, f64::NEG_INFINITY, 0.0, f64::NAN, -1e4, 3.0, f64::INFINITY]);
        let t = cases::Fill::Values(&[0.0, 1.0, 0.4, -0.5, f64::NAN, 1e-30, 1e4, -0.0]);
        list.push(extreme_case(x, t, attrs(KlDivReduction::None, false)));
        let t = cases::Fill::Values(&[0.0, -1.0, f64::NEG_INFINITY, f64::NAN, -1e4, 5.0]);
        let logs = extreme_case(x, t, attrs(KlDivReduction::None, true));
        list.push(cases::Case { name: "extreme log".into(), ..logs });
        let logs = extreme_case(cases::ANY, cases::SMALL, attrs(KlDivReduction::None, true)).upstream(cases::SMALL_UPSTREAM);
        list.push(cases::Case { name: "small log".into(), ..logs });
        list
    },
}

fn attrs(reduction: KlDivReduction, log_target: bool) -> Attrs {
    Attrs::new().str("reduction", reduction.name()).bool("log_target", log_target)
}

methods! {
    /// The mean over all elements of `t·(log t − x)` for these log-probabilities x and the probabilities t in `target`,
    /// broadcast.
    ///
    /// ```
    /// use lumigrad::{KlDivOptions, KlDivReduction, prelude::*};
    /// let x = Tensor::from_slice(&[0.5f32, 0.5], &[1, 2]).log();
    /// let target = Tensor::from_slice(&[1.0f32, 0.0], &[1, 2]);
    /// let batch_mean = KlDivOptions { reduction: KlDivReduction::BatchMean, ..Default::default() };
    /// assert!((x.kl_div_with(&target, &batch_mean).item::<f32>()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn kl_div / try_kl_div (&self, target: &Tensor) -> Tensor {
        self.try_kl_div_with(target, &KlDivOptions::default())
    }

    /// [`Self::kl_div`] with another reduction, or against logarithms of probabilities.
    pub fn kl_div_with / try_kl_div_with (&self, target: &Tensor, options: &KlDivOptions) -> Tensor {
        loss_apply(&KL_DIV, [self, target], (None, None), attrs(options.reduction, options.log_target))
    }
}
