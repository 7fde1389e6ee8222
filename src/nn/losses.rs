//! Losses of inputs against targets as layers. Those with options start from PyTorch's defaults:
//! `nn::HuberLoss::new().delta(0.5)`.

use super::{Buffer, Forward, Module};
use crate::ops::class_loss::Reduction;
use crate::ops::cross_entropy::CrossEntropyOptions;
use crate::ops::losses::binary_cross_entropy::BinaryCrossEntropyOptions;
use crate::ops::losses::binary_cross_entropy_with_logits::BinaryCrossEntropyWithLogitsOptions;
use crate::ops::losses::huber_loss::HuberLossOptions;
use crate::ops::losses::kl_div::{KlDivOptions, KlDivReduction};
use crate::ops::losses::likelihoods::{GaussianNllLossOptions, PoissonNllLossOptions};
use crate::ops::losses::margins::TripletMarginLossOptions;
use crate::ops::losses::smooth_l1_loss::SmoothL1LossOptions;
use crate::ops::nll_loss::NllLossOptions;
use crate::tensor::Tensor;

/// Declares losses: what they take, the buffers that may be given, the options with their defaults, and what is computed.
macro_rules! losses {
    (@tensor $input:ident) => { Tensor };
    ($(
        $(#[$meta:meta])*
        $name:ident($($input:ident),+) [$($(#[$bmeta:meta])* $buffer:ident),* $(,)?] {
            $($(#[$fmeta:meta])* $field:ident: $ty:ty = $default:expr),* $(,)?
        } => |$layer:ident| $body:expr;
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            $($buffer: Option<Buffer>,)*
            $(#[module(skip)] $field: $ty,)*
        }

        impl $name {
            /// The loss with PyTorch's defaults.
            pub fn new() -> Self {
                $name { $($buffer: None,)* $($field: $default,)* }
            }

            $(
                $(#[$bmeta])*
                pub fn $buffer(mut self, $buffer: &Tensor) -> Self {
                    self.$buffer = Some(Buffer::new($buffer.clone()));
                    self
                }
            )*

            $(
                $(#[$fmeta])*
                pub fn $field(mut self, $field: $ty) -> Self {
                    self.$field = $field;
                    self
                }
            )*

            /// The loss of these tensors.
            ///
            /// # Panics
            /// When the shapes do not fit.
            #[track_caller]
            pub fn loss(&self, $($input: &Tensor),+) -> Tensor {
                let $layer = self;
                $(
                    let $buffer = self.$buffer.as_ref().map(Buffer::get);
                    let $buffer = $buffer.as_ref();
                )*
                $body
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Forward<($(losses!(@tensor $input),)+)> for $name {
            type Output = Tensor;

            #[track_caller]
            fn forward(&self, ($($input,)+): &($(losses!(@tensor $input),)+)) -> Tensor {
                self.loss($($input),+)
            }
        }
    )*};
}

losses! {
    /// The mean of the squared differences. <https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let criterion = nn::MSELoss::new();
    /// let (x, target) = (Tensor::full(&[4], 3.0), Tensor::ones(&[4]));
    /// assert_eq!(criterion.loss(&x, &target).item::<f32>()?, 4.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    MSELoss(input, target) [] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.mse_loss_with(target, l.reduction);

    /// The mean of the absolute differences. <https://pytorch.org/docs/stable/generated/torch.nn.L1Loss.html>
    L1Loss(input, target) [] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.l1_loss_with(target, l.reduction);

    /// Squares of small differences and absolute values of large ones; see [`Tensor::smooth_l1_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html>
    SmoothL1Loss(input, target) [] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
        /// The difference from which the loss is linear; 1 if not set.
        beta: f64 = 1.0,
    } => |l| input.smooth_l1_loss_with(target, &SmoothL1LossOptions { reduction: l.reduction, beta: l.beta });

    /// Squares of small differences and multiples of large ones; see [`Tensor::huber_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html>
    HuberLoss(input, target) [] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
        /// The difference from which the loss is linear; 1 if not set.
        delta: f64 = 1.0,
    } => |l| input.huber_loss_with(target, &HuberLossOptions { reduction: l.reduction, delta: l.delta });

    /// Cross-entropy of probabilities against probabilities of one shape; see [`Tensor::binary_cross_entropy`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.BCELoss.html>
    BCELoss(input, target) [
        /// A factor for each loss, broadcast.
        weight,
    ] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.binary_cross_entropy_with(target, &BinaryCrossEntropyOptions { weight, reduction: l.reduction });

    /// Cross-entropy of logits against probabilities of one shape; see [`Tensor::binary_cross_entropy_with_logits`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let criterion = nn::BCEWithLogitsLoss::new().pos_weight(&Tensor::full(&[1], 3.0));
    /// let loss = criterion.loss(&Tensor::zeros(&[2, 1]), &Tensor::ones(&[2, 1]));
    /// assert!((loss.item::<f32>()? - 3.0 * 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    BCEWithLogitsLoss(input, target) [
        /// A factor for each loss, broadcast.
        weight,
        /// How much a positive weighs, broadcast: usually one number for each class.
        pos_weight,
    ] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| {
        let options = BinaryCrossEntropyWithLogitsOptions { weight, reduction: l.reduction, pos_weight };
        input.binary_cross_entropy_with_logits_with(target, &options)
    };

    /// Divergence of log-probabilities from probabilities; see [`Tensor::kl_div`]. For the divergence of distributions take
    /// [`KlDivReduction::BatchMean`]. <https://pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html>
    KLDivLoss(input, target) [] {
        /// What becomes of the divergences; their mean over all elements if not set.
        reduction: KlDivReduction = KlDivReduction::Mean,
        /// Whether the target holds logarithms; it does not if not set.
        log_target: bool = false,
    } => |l| input.kl_div_with(target, &KlDivOptions { reduction: l.reduction, log_target: l.log_target });

    /// Cross-entropy of logits `[N, C, …]` against class numbers `[N, …]` (i32), or against class probabilities `[N, C, …]`
    /// (f32), for which there is no `ignore_index`; see [`Tensor::cross_entropy_with`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let criterion = nn::CrossEntropyLoss::new();
    /// let logits = Tensor::zeros(&[2, 10]);
    /// let loss = criterion.call(&(logits.clone(), Tensor::from_slice(&[3, 7], &[2])));
    /// assert!((loss.item::<f32>()? - 10f32.ln()).abs() < 1e-6);
    /// let loss = criterion.loss(&logits, &Tensor::full(&[2, 10], 0.1));
    /// assert!((loss.item::<f32>()? - 10f32.ln()).abs() < 1e-6);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    CrossEntropyLoss(input, target) [
        /// A factor for each class, `[C]`.
        weight,
    ] {
        /// A class number whose samples count for nothing; −100 if not set.
        ignore_index: i64 = -100,
        /// What becomes of the losses; their weighted mean if not set.
        reduction: Reduction = Reduction::Mean,
        /// How much of the probability is spread over all classes; 0 if not set.
        label_smoothing: f64 = 0.0,
    } => |l| {
        let &CrossEntropyLoss { ignore_index, reduction, label_smoothing, .. } = l;
        input.cross_entropy_with(target, &CrossEntropyOptions { weight, ignore_index, reduction, label_smoothing })
    };

    /// Negative log-likelihood of log-probabilities `[N, C, …]` against class numbers `[N, …]`; see [`Tensor::nll_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html>
    NLLLoss(input, target) [
        /// A factor for each class, `[C]`.
        weight,
    ] {
        /// A class number whose samples count for nothing; −100 if not set.
        ignore_index: i64 = -100,
        /// What becomes of the losses; their weighted mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| {
        let options = NllLossOptions { weight, ignore_index: l.ignore_index, reduction: l.reduction };
        input.nll_loss_with(target, &options)
    };

    /// Likelihood of counts; see [`Tensor::poisson_nll_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html>
    PoissonNLLLoss(input, target) [] {
        /// Whether the input is the logarithm of the rate; it is if not set.
        log_input: bool = true,
        /// Whether Stirling's approximation of `log t!` is added; it is not if not set.
        full: bool = false,
        /// What is added to a rate before its logarithm; 10⁻⁸ if not set.
        eps: f64 = 1e-8,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| {
        let &PoissonNLLLoss { log_input, full, eps, reduction } = l;
        input.poisson_nll_loss_with(target, &PoissonNllLossOptions { log_input, full, eps, reduction })
    };

    /// Likelihood of numbers with a mean and a variance; see [`Tensor::gaussian_nll_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html>
    GaussianNLLLoss(input, target, variance) [] {
        /// Whether the constant `log(2π)/2` is added; it is not if not set.
        full: bool = false,
        /// The smallest variance; 10⁻⁶ if not set.
        eps: f64 = 1e-6,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| {
        let &GaussianNLLLoss { full, eps, reduction } = l;
        input.gaussian_nll_loss_with(target, variance, &GaussianNllLossOptions { full, eps, reduction })
    };

    /// Likeness of pairs by the cosine of their angle; see [`Tensor::cosine_embedding_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html>
    CosineEmbeddingLoss(input1, input2, target) [] {
        /// The cosine up to which a pair counts as unlike; 0 if not set.
        margin: f64 = 0.0,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input1.cosine_embedding_loss(input2, target, l.margin, l.reduction);

    /// Anchors nearer to positives than to negatives; see [`Tensor::triplet_margin_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html>
    TripletMarginLoss(anchor, positive, negative) [] {
        /// By how much the negative should be further away; 1 if not set.
        margin: f64 = 1.0,
        /// The power of the norm; 2 if not set.
        p: f64 = 2.0,
        /// What is added to every difference; 10⁻⁶ if not set.
        eps: f64 = 1e-6,
        /// Whether the distance from the positive to the negative counts where it is smaller; it does not if not set.
        swap: bool = false,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| {
        let &TripletMarginLoss { margin, p, eps, swap, reduction } = l;
        let options = TripletMarginLossOptions { margin, p, eps, swap, reduction };
        anchor.triplet_margin_loss_with(positive, negative, &options)
    };

    /// Distances of alike pairs, and how much unlike ones lack to a margin; see [`Tensor::hinge_embedding_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html>
    HingeEmbeddingLoss(input, target) [] {
        /// How far apart unlike pairs should be; 1 if not set.
        margin: f64 = 1.0,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.hinge_embedding_loss(target, l.margin, l.reduction);

    /// One input ranked above another; see [`Tensor::margin_ranking_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html>
    MarginRankingLoss(input1, input2, target) [] {
        /// By how much; 0 if not set.
        margin: f64 = 0.0,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input1.margin_ranking_loss(input2, target, l.margin, l.reduction);

    /// `log(1 + e^(−t·x))` for targets of 1 and −1. <https://pytorch.org/docs/stable/generated/torch.nn.SoftMarginLoss.html>
    SoftMarginLoss(input, target) [] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.soft_margin_loss(target, l.reduction);

    /// The right class's score above all others by a margin; see [`Tensor::multi_margin_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html>
    MultiMarginLoss(input, target) [
        /// A factor for each class, `[C]`.
        weight,
    ] {
        /// The power of what is lacking, 1 or 2; 1 if not set.
        p: i32 = 1,
        /// By how much; 1 if not set.
        margin: f64 = 1.0,
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.multi_margin_loss(target, l.p, l.margin, weight, l.reduction);

    /// Binary cross-entropy of logits, averaged over the classes; see [`Tensor::multilabel_soft_margin_loss`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html>
    MultiLabelSoftMarginLoss(input, target) [
        /// A factor for each class, `[C]`.
        weight,
    ] {
        /// What becomes of the losses; their mean if not set.
        reduction: Reduction = Reduction::Mean,
    } => |l| input.multilabel_soft_margin_loss(target, weight, l.reduction);
}

#[cfg(test)]
mod tests;
