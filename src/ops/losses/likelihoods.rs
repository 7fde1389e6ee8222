//! Negative log-likelihoods of numbers under a distribution: made of other operations.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.poisson_nll_loss.html>,
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.gaussian_nll_loss.html>

use std::f64::consts::TAU;

use crate::amp;
use crate::ops::class_loss::Reduction;
use crate::ops::matmul::check_floats;
use crate::ops::methods;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The arguments of the Poisson likelihood besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoissonNllLossOptions {
    /// Whether the input is the logarithm of the rate.
    pub log_input: bool,
    /// Whether Stirling's approximation of `log t!` is added.
    pub full: bool,
    /// What is added to a rate before its logarithm.
    pub eps: f64,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

impl Default for PoissonNllLossOptions {
    fn default() -> Self {
        PoissonNllLossOptions { log_input: true, full: false, eps: 1e-8, reduction: Reduction::Mean }
    }
}

/// The arguments of the Gaussian likelihood besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianNllLossOptions {
    /// Whether the constant `log(2π)/2` is added.
    pub full: bool,
    /// The smallest variance.
    pub eps: f64,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

impl Default for GaussianNllLossOptions {
    fn default() -> Self {
        GaussianNllLossOptions { full: false, eps: 1e-6, reduction: Reduction::Mean }
    }
}

/// A variance that broadcasts to the input: of its shape, of its shape without the last dim, or with one dim of size 1.
fn spread_variance(x: &Tensor, variance: &Tensor) -> Result<Tensor> {
    let (own, other) = (x.shape(), variance.shape());
    if own == other {
        return Ok(variance.clone());
    }
    if own.split_last().is_some_and(|(_, rest)| rest == other) {
        return variance.try_unsqueeze(-1);
    }
    let differing: Vec<usize> = (0..own.len().min(other.len())).filter(|&d| own[d] != other[d]).collect();
    if own.len() == other.len() && differing.len() == 1 && other[differing[0]] == 1 {
        return Ok(variance.clone());
    }
    let detail = format!("a variance of shape {other:?} fits no input of shape {own:?}");
    Err(Error::shape("gaussian_nll_loss", detail))
}

methods! {
    /// The mean of `eˣ − t·x` for logarithms x of rates and counts t in `target`, broadcast.
    pub fn poisson_nll_loss / try_poisson_nll_loss (&self, target: &Tensor) -> Tensor {
        self.try_poisson_nll_loss_with(target, &PoissonNllLossOptions::default())
    }

    /// [`Self::poisson_nll_loss`] of rates instead of their logarithms (`x − t·log(x + eps)`), with Stirling's term for targets
    /// above 1, or with another reduction.
    pub fn poisson_nll_loss_with / try_poisson_nll_loss_with (
        &self, target: &Tensor, options: &PoissonNllLossOptions
    ) -> Tensor {
        let &PoissonNllLossOptions { log_input, full, eps, reduction } = options;
        check_floats("poisson_nll_loss", &[self, target])?;
        if let Some([x, target]) = amp::single([self, target])? {
            return x.try_poisson_nll_loss_with(&target, options);
        }
        let mut losses = if log_input {
            self.try_exp()?.try_sub(&target.try_mul(self)?)?
        } else {
            self.try_sub(&target.try_mul(&self.try_add_scalar(eps)?.try_log()?)?)?
        };
        if full {
            let stirling = target.try_mul(&target.try_log()?)?.try_sub(target)?;
            let stirling = stirling.try_add(&target.try_mul_scalar(TAU)?.try_log()?.try_mul_scalar(0.5)?)?;
            losses = losses.try_add(&stirling.try_masked_fill(&target.try_le_scalar(1.0)?, 0.0)?)?;
        }
        reduction.apply(&losses)
    }

    /// The mean of `(log v + (x − t)²/v)/2` for means x, targets t and variances v of at least 10⁻⁶. A variance may lack the last
    /// dim, or have size 1 in one; a negative one gives NaN.
    pub fn gaussian_nll_loss / try_gaussian_nll_loss (&self, target: &Tensor, variance: &Tensor) -> Tensor {
        self.try_gaussian_nll_loss_with(target, variance, &GaussianNllLossOptions::default())
    }

    /// [`Self::gaussian_nll_loss`] with the constant, another smallest variance or another reduction.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn gaussian_nll_loss_with / try_gaussian_nll_loss_with (
        &self, target: &Tensor, variance: &Tensor, options: &GaussianNllLossOptions
    ) -> Tensor {
        let &GaussianNllLossOptions { full, eps, reduction } = options;
        check_floats("gaussian_nll_loss", &[self, target, variance])?;
        let variance = spread_variance(self, variance)?;
        // As in PyTorch, the gradient passes to a variance that was raised. What is added is `eps - min(v, eps)`, so that an
        // infinite one stays so.
        let own = variance.detach();
        let missing = own.try_clamp(None, Some(eps))?.try_neg()?.try_add_scalar(eps)?;
        let missing = missing.try_masked_fill(&own.try_lt_scalar(0.0)?, f64::NAN)?;
        let variance = variance.try_add(&missing)?;
        let distance = self.try_sub(target)?.try_square()?.try_div(&variance)?;
        let losses = variance.try_log()?.try_add(&distance)?.try_mul_scalar(0.5)?;
        let constant = if full { 0.5 * TAU.ln() } else { 0.0 };
        reduction.apply(&if full { losses.try_add_scalar(constant)? } else { losses })
    }
}
