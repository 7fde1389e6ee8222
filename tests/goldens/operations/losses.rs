//! Losses.

use lumigrad::{
    BinaryCrossEntropyOptions, BinaryCrossEntropyWithLogitsOptions, CrossEntropyOptions, KlDivOptions, KlDivReduction,
    NllLossOptions, Reduction, SmoothL1LossOptions,
};

use super::one;
use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("cross_entropy", |a| {
        let weight = a.opt_tensor("weight");
        let options = CrossEntropyOptions {
            weight: weight.as_ref(),
            ignore_index: a.int("ignore_index"),
            reduction: reduction(a),
            label_smoothing: a.float("label_smoothing"),
        };
        one(a.tensor("input").try_cross_entropy_with(&a.tensor("target"), &options))
    }),
    ("nll_loss", |a| {
        let weight = a.opt_tensor("weight");
        let options =
            NllLossOptions { weight: weight.as_ref(), ignore_index: a.int("ignore_index"), reduction: reduction(a) };
        one(a.tensor("input").try_nll_loss_with(&a.tensor("target"), &options))
    }),
    ("mse_loss", |a| one(a.tensor("input").try_mse_loss_with(&a.tensor("target"), reduction(a)))),
    ("l1_loss", |a| one(a.tensor("input").try_l1_loss_with(&a.tensor("target"), reduction(a)))),
    ("smooth_l1_loss", |a| {
        let options = SmoothL1LossOptions { reduction: reduction(a), beta: a.float("beta") };
        one(a.tensor("input").try_smooth_l1_loss_with(&a.tensor("target"), &options))
    }),
    ("bce", |a| {
        let weight = a.opt_tensor("weight");
        let options = BinaryCrossEntropyOptions { weight: weight.as_ref(), reduction: reduction(a) };
        one(a.tensor("input").try_binary_cross_entropy_with(&a.tensor("target"), &options))
    }),
    ("bce_with_logits", |a| {
        let (weight, pos_weight) = (a.opt_tensor("weight"), a.opt_tensor("pos_weight"));
        let options = BinaryCrossEntropyWithLogitsOptions {
            weight: weight.as_ref(),
            reduction: reduction(a),
            pos_weight: pos_weight.as_ref(),
        };
        one(a.tensor("input").try_binary_cross_entropy_with_logits_with(&a.tensor("target"), &options))
    }),
    ("kl_div", |a| {
        let reduction = match a.text("reduction") {
            "batchmean" => KlDivReduction::BatchMean,
            "mean" => KlDivReduction::Mean,
            "sum" => KlDivReduction::Sum,
            "none" => KlDivReduction::None,
            other => panic!("no reduction {other}"),
        };
        let options = KlDivOptions { reduction, log_target: a.bool("log_target") };
        one(a.tensor("input").try_kl_div_with(&a.tensor("target"), &options))
    }),
];

fn reduction(a: &Args<'_>) -> Reduction {
    match a.text("reduction") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        other => panic!("no reduction {other}"),
    }
}
