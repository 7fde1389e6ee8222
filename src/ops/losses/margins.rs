//! Losses by margins and distances: made of other operations.
//!
//! <https://pytorch.org/docs/stable/nn.functional.html#loss-functions>

use crate::Error;
use crate::amp;
use crate::dtype::DType;
use crate::ops::class_loss::{Reduction, check_labels, check_scores};
use crate::ops::matmul::check_floats;
use crate::ops::methods;
use crate::tensor::Tensor;

/// The arguments of the triplet margin loss besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletMarginLossOptions {
    /// By how much the negative should be further away than the positive.
    pub margin: f64,
    /// The power of the norm; infinity for the largest difference.
    pub p: f64,
    /// What is added to every difference.
    pub eps: f64,
    /// Whether the distance from the positive to the negative counts where it is smaller.
    pub swap: bool,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

impl Default for TripletMarginLossOptions {
    fn default() -> Self {
        TripletMarginLossOptions { margin: 1.0, p: 2.0, eps: 1e-6, swap: false, reduction: Reduction::Mean }
    }
}

methods! {
    /// For rows of anchors, positives and negatives `[N, D]` or `[D]`: the mean of
    /// `max(d(anchor, positive) − d(anchor, negative) + 1, 0)` for distances d.
    pub fn triplet_margin_loss / try_triplet_margin_loss (&self, positive: &Tensor, negative: &Tensor) -> Tensor {
        self.try_triplet_margin_loss_with(positive, negative, &TripletMarginLossOptions::default())
    }

    /// [`Self::triplet_margin_loss`] with another margin, norm or reduction.
    ///
    /// # Panics
    /// When the margin or p is not positive, or the tensors have not the same number of dims.
    pub fn triplet_margin_loss_with / try_triplet_margin_loss_with (
        &self, positive: &Tensor, negative: &Tensor, options: &TripletMarginLossOptions
    ) -> Tensor {
        if let Some([anchor, positive, negative]) = amp::single([self, positive, negative])? {
            return anchor.try_triplet_margin_loss_with(&positive, &negative, options);
        }
        let &TripletMarginLossOptions { margin, p, eps, swap, reduction } = options;
        if margin.is_nan() || margin <= 0.0 {
            return Err(Error::argument("triplet_margin_loss", format!("the margin must be positive, it is {margin}")));
        }
        if p.is_nan() || p <= 0.0 {
            return Err(Error::argument("triplet_margin_loss", format!("p must be positive, it is {p}")));
        }
        check_floats("triplet_margin_loss", &[self, positive, negative])?;
        if self.dim() != positive.dim() || self.dim() != negative.dim() {
            let (a, p, n) = (self.shape(), positive.shape(), negative.shape());
            let detail = format!("anchor, positive and negative need as many dims; their shapes are {a:?}, {p:?}, {n:?}");
            return Err(Error::shape("triplet_margin_loss", detail));
        }
        let near = self.try_pairwise_distance(positive, p, eps, false)?;
        let mut far = self.try_pairwise_distance(negative, p, eps, false)?;
        if swap {
            far = far.try_minimum(&positive.try_pairwise_distance(negative, p, eps, false)?)?;
        }
        reduction.apply(&near.try_sub(&far)?.try_add_scalar(margin)?.try_relu()?)
    }

    /// For rows x and y, `[N, D]` with targets `[N]` or `[D]` with one target: `1 − cos(x, y)` where the target is 1 and
    /// `max(cos(x, y) − margin, 0)` where it is −1. PyTorch's default margin is 0.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn cosine_embedding_loss / try_cosine_embedding_loss (
        &self, other: &Tensor, target: &Tensor, margin: f64, reduction: Reduction
    ) -> Tensor {
        const EPSILON: f64 = 1e-12;
        if let Some([x, other, target]) = amp::single([self, other, target])? {
            return x.try_cosine_embedding_loss(&other, &target, margin, reduction);
        }
        let op = "cosine_embedding_loss";
        check_floats(op, &[self, other])?;
        if target.dim() > 1 || self.dim() != target.dim() + 1 || other.dim() != self.dim() {
            let (x, y, t) = (self.shape(), other.shape(), target.shape());
            let detail = format!("needs rows [N, D] and targets [N], or [D] and one target, not {x:?}, {y:?} and {t:?}");
            return Err(Error::shape(op, detail));
        }
        let along = |x: &Tensor, y: &Tensor| x.try_mul(y)?.try_sum_dims(&[-1], false);
        let (own, others) = (along(self, self)?.try_add_scalar(EPSILON)?, along(other, other)?.try_add_scalar(EPSILON)?);
        let cosine = along(self, other)?.try_div(&own.try_mul(&others)?.try_sqrt()?)?;
        let zero = Tensor::try_full_on(&[], 0.0, DType::F32, self.device())?;
        let alike = cosine.try_neg()?.try_add_scalar(1.0)?;
        let unlike = cosine.try_add_scalar(-margin)?.try_relu()?;
        let losses = target.try_eq_scalar(1.0)?.try_where_(&alike, &zero)?;
        reduction.apply(&losses.try_add(&target.try_eq_scalar(-1.0)?.try_where_(&unlike, &zero)?)?)
    }

    /// `x` where the target is 1 and `max(margin − x, 0)` where it is −1, for a distance x. PyTorch's default margin is 1.
    pub fn hinge_embedding_loss / try_hinge_embedding_loss (
        &self, target: &Tensor, margin: f64, reduction: Reduction
    ) -> Tensor {
        check_floats("hinge_embedding_loss", &[self])?;
        if let Some([x, target]) = amp::single([self, target])? {
            return x.try_hinge_embedding_loss(&target, margin, reduction);
        }
        let zero = Tensor::try_full_on(&[], 0.0, DType::F32, self.device())?;
        let apart = self.try_neg()?.try_add_scalar(margin)?.try_relu()?;
        let losses = target.try_ne_scalar(1.0)?.try_where_(&apart, &zero)?;
        reduction.apply(&losses.try_add(&target.try_ne_scalar(-1.0)?.try_where_(self, &zero)?)?)
    }

    /// `max(−t·(x − other) + margin, 0)`: x should rank above `other` where the target t is 1, and below where it is −1.
    /// PyTorch's default margin is 0.
    pub fn margin_ranking_loss / try_margin_ranking_loss (
        &self, other: &Tensor, target: &Tensor, margin: f64, reduction: Reduction
    ) -> Tensor {
        check_floats("margin_ranking_loss", &[self, other])?;
        if let Some([x, other, target]) = amp::single([self, other, target])? {
            return x.try_margin_ranking_loss(&other, &target, margin, reduction);
        }
        if self.dim() != other.dim() || self.dim() != target.dim() {
            let (x, y, t) = (self.shape(), other.shape(), target.shape());
            let detail = format!("both inputs and the target need as many dims; their shapes are {x:?}, {y:?}, {t:?}");
            return Err(Error::shape("margin_ranking_loss", detail));
        }
        let lead = target.try_mul(&other.try_sub(self)?)?;
        reduction.apply(&lead.try_add_scalar(margin)?.try_relu()?)
    }

    /// `log(1 + e^(−t·x))` for targets t of 1 and −1, exact for large x too.
    pub fn soft_margin_loss / try_soft_margin_loss (&self, target: &Tensor, reduction: Reduction) -> Tensor {
        check_floats("soft_margin_loss", &[self])?;
        if let Some([x, target]) = amp::single([self, target])? {
            return x.try_soft_margin_loss(&target, reduction);
        }
        reduction.apply(&self.try_mul(target)?.try_logsigmoid()?.try_neg()?)
    }

    /// For scores `[N, C]` and class numbers t `[N]`: the mean over the classes of `max(margin − x_t + x_c, 0)^p` for all c but
    /// t, times the class's weight. p is 1 or 2; PyTorch's defaults are 1 and a margin of 1.
    ///
    /// # Panics
    /// When p is neither 1 nor 2, or the shapes do not fit.
    pub fn multi_margin_loss / try_multi_margin_loss (
        &self, target: &Tensor, p: i32, margin: f64, weight: Option<&Tensor>, reduction: Reduction
    ) -> Tensor {
        let op = "multi_margin_loss";
        if let Some([x]) = amp::single([self])? {
            return x.try_multi_margin_loss(target, p, margin, weight, reduction);
        }
        if p != 1 && p != 2 {
            return Err(Error::argument(op, format!("p must be 1 or 2, it is {p}")));
        }
        check_scores(op, self, weight)?;
        if self.dim() != 2 {
            return Err(Error::shape(op, format!("scores need the shape [N, C], they have {:?}", self.shape())));
        }
        check_labels(op, self, target)?;
        let own = target.try_unsqueeze(1)?;
        let mut losses = self.try_sub(&self.try_gather(1, &own)?)?.try_add_scalar(margin)?.try_relu()?;
        if p == 2 {
            losses = losses.try_square()?;
        }
        if let Some(weight) = weight {
            losses = losses.try_mul(&weight.try_index_select(0, target)?.try_unsqueeze(1)?)?;
        }
        let is_own = target.try_one_hot(self.shape()[1])?.try_to_dtype(DType::Bool)?;
        reduction.apply(&losses.try_masked_fill(&is_own, 0.0)?.try_mean_dims(&[-1], false)?)
    }

    /// For logits `[…, C]` and targets of 0 and 1: the mean over the classes of
    /// [`Self::binary_cross_entropy_with_logits`], with a weight for each class if given.
    pub fn multilabel_soft_margin_loss / try_multilabel_soft_margin_loss (
        &self, target: &Tensor, weight: Option<&Tensor>, reduction: Reduction
    ) -> Tensor {
        let options = super::binary_cross_entropy_with_logits::BinaryCrossEntropyWithLogitsOptions {
            weight,
            reduction: Reduction::None,
            pos_weight: None,
        };
        let losses = self.try_binary_cross_entropy_with_logits_with(target, &options)?;
        reduction.apply(&losses.try_mean_dims(&[-1], false)?)
    }
}
