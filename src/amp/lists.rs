//! The types of operations under autocast.
//!
//! PyTorch's lists for CUDA, `AT_FORALL_…` in its `ATen/autocast_mode.h`, which its documentation repeats:
//! <https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior>. What is one operation there and several here,
//! such as `cosine_similarity`, asks for [`single`](super::single) or [`half`](super::half) itself.

/// What autocast does to the float inputs of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// All become the half type.
    Half,
    /// All become f32.
    Single,
    /// They become f32 when one of them is.
    Widest,
    /// They stay as they are.
    AsGiven,
    /// The operation is not safe in halves, and a better one is.
    Refused,
}

/// `AT_FORALL_LOWER_PRECISION_FP`.
const HALF: &[&str] = &[
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "gru",
    "linear",
    "lstm",
    "matmul",
    "prelu",
    "rnn",
    "scaled_dot_product_attention",
];

/// `AT_FORALL_FP32` and those after it. `square` is `pow` there, `interpolate` the `upsample_…`.
const SINGLE: &[&str] = &[
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "cross_entropy_probs",
    "cumprod",
    "cumsum",
    "exp",
    "expm1",
    "group_norm",
    "huber_loss",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "norm",
    "normalize",
    "pow",
    "powf",
    "powi",
    "prod",
    "reciprocal",
    "rms_norm",
    "rsqrt",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "square",
    "sum",
];

/// `AT_FORALL_PROMOTE`, `cat` and `stack`; `view_put` is a kind of `index_put`.
const WIDEST: &[&str] = &["cat", "scatter_add", "view_put"];

/// Where a sigmoid in halves is 0 or 1, there is no gradient any more.
const REFUSED: &[&str] = &["binary_cross_entropy"];

/// The policy of the operation with this name in the registry.
pub(super) fn policy(name: &str) -> Policy {
    let lists = [(HALF, Policy::Half), (SINGLE, Policy::Single), (WIDEST, Policy::Widest), (REFUSED, Policy::Refused)];
    lists.into_iter().find(|(list, _)| list.contains(&name)).map_or(Policy::AsGiven, |(_, policy)| policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::operation;

    #[test]
    fn every_name_is_an_operation() {
        for name in [HALF, SINGLE, WIDEST, REFUSED].concat() {
            assert!(operation(name).is_some(), "{name}");
        }
    }
}
