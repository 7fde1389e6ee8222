//! How each recorded operation is called here.

mod elementwise;
mod indexing;
mod losses;
mod products;
mod reduce;
mod views;

use lumigrad::{Result, Tensor};

use crate::runner::Call;

/// Every operation that is held to recorded values.
pub fn all() -> impl Iterator<Item = (&'static str, Call)> {
    [elementwise::TABLE, products::TABLE, reduce::TABLE, views::TABLE, indexing::TABLE, losses::TABLE]
        .into_iter()
        .flatten()
        .copied()
}

/// Recorded operations that lumigrad does not have yet.
pub const NOT_YET: &[&str] = &[
    "abs",
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "hardtanh",
    "pow",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "clamp",
    "where",
    "var",
    "std",
    "prod",
    "cumsum",
    "logsumexp",
    "norm",
    "pad",
    "flip",
    "repeat",
    "masked_fill",
    "tril",
    "triu",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "min_pool2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "nll_loss",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "bce",
    "bce_with_logits",
    "kl_div",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "normalize",
    "scaled_dot_product_attention",
    "rnn",
    "lstm",
    "gru",
    "topk",
    "sort",
    "interpolate",
    "dropout_exact",
];

/// Recorded calls that can't be made here, and why.
pub const NOT_RUN: &[(&str, &str)] = &[("cross_entropy/c01", PROBABILITIES), ("cross_entropy/c04", PROBABILITIES)];

const PROBABILITIES: &str = "later: cross_entropy takes class numbers, not yet probabilities";

/// A call with one output.
fn one(result: Result<Tensor>) -> Result<Vec<Tensor>> {
    result.map(|tensor| vec![tensor])
}
