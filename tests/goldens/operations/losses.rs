//! Losses.

use lumigrad::{CrossEntropyOptions, NllLossOptions, Reduction};

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
];

fn reduction(a: &Args<'_>) -> Reduction {
    match a.text("reduction") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        other => panic!("no reduction {other}"),
    }
}
